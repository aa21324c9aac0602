"""What a checkpoint may hold, which may come from anyone: Lightning deletes the files that states of callbacks name."""

from pathlib import Path
from typing import Any

from src.core.saved_config import part_of

PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")  # in the state of a ModelCheckpoint
MAX_VALUES = 10_000  # of a model's config; a file that repeats its parts within its parts would otherwise never end
MAX_DEPTH = 50


def check_config(checkpoint: Any, path: object) -> None:
    """Raise ValueError if the config of a checkpoint's model is too large to be looked at."""
    if _count(part_of(checkpoint, "hyper_parameters").get("model"), MAX_VALUES) < 0:
        raise ValueError(f"{path} has a model's config of more than {MAX_VALUES:,} values or {MAX_DEPTH} levels")


def _count(node: Any, left: int, depth: int = 0) -> int:
    """How many values are left to look at below this one; negative if there are more than that."""
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for part in parts:
        left = -1 if depth == MAX_DEPTH else _count(part, left - 1, depth + 1)
        if left < 0:
            break
    return left


def keep_paths_inside(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Make the states of callbacks name checkpoints beside this one, as they do after a run has moved.

    Checkpoints elsewhere are forgotten; a state whose best checkpoint is gone forgets its score with it.

    Raises:
        ValueError: a state names what is not a checkpoint, or leads elsewhere.
    """
    states = checkpoint.get("callbacks")
    for state in states.values() if isinstance(states, dict) else ():
        if isinstance(state, dict) and any(name in state for name in ("dirpath", *PATHS)):
            _keep_inside(state, Path(path).resolve())


def _keep_inside(state: dict[str, Any], file: Path) -> None:
    before = state.get("dirpath")
    # A template of names may put checkpoints into folders below dirpath.
    home = Path(before) if isinstance(before, str) and Path(before) in (*file.parents[:2],) else file.parent

    def moved(path: Any) -> str:
        if not path:
            return ""
        if not isinstance(path, str) or ".." in Path(path).parts or Path(path).suffix != ".ckpt":
            raise ValueError(f"{file} names the checkpoint {str(path)[:300]!r}, which none can be: it is not used")
        if not path.startswith(f"{before}/"):
            return ""  # of the run that this one started from; it is left alone
        found = home / path[len(f"{before}/") :]
        if not found.resolve().is_relative_to(home):
            raise ValueError(f"{file} names the checkpoint {str(found)!r}, a link to elsewhere: it is not used")
        return str(found)

    state.update({name: moved(state[name]) for name in PATHS if name in state})
    others = state.get("best_k_models")
    others = {moved(path): score for path, score in others.items()} if isinstance(others, dict) else {}
    state["best_k_models"] = {path: score for path, score in others.items() if path}
    state["dirpath"] = str(home)
    if state.get("best_model_path") and not Path(state["best_model_path"]).is_file():
        # Lightning then takes the next checkpoint as the best, whatever score this state has.
        state.update(dirpath="", best_model_path="")
