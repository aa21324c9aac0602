"""One folder, one run: who may write there, what is there from before, where a resumed run begins. Without torch."""

import fcntl
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.checksums import damage_of
from src.core.errors import ConfigError
from src.core.ranks import is_rank_zero
from src.core.remote import sent_at_the_end, shown

FINISHED = "finished"  # an empty file, made when a training has ended well
# What of an older run would mix with a new one.
CLEARED = (FINISHED, "checkpoints", "tensorboard", "metrics.csv", "metrics.json")


def check_start(config: dict[str, Any]) -> None:
    """Raise ConfigError if resume, overwrite and checkpoint contradict one another or what is in run_dir."""
    folder = config["run_dir"]
    if config["resume"] is True and not checkpoints_in(folder):
        raise ConfigError(
            f"resume=true continues the run in run_dir, but {shown(folder)}/checkpoints has no checkpoint; "
            "give run_dir=PATH"
        )
    sources = [path for path in (config["checkpoint"], config["model"].get("backbone")) if path]
    if config["overwrite"] and (config["resume"] or any(_is_in(path, folder) for path in sources)):
        raise ConfigError("overwrite=true clears run_dir, and with it what the run is to start from: leave out one")


@contextmanager
def own_run_dir(config: Any) -> Iterator[None]:
    """Hold run_dir within the block, and mark it there when a training has come to its end.

    One process of a run, rank 0, holds it for all. The kernel lets go of it however that process ends.
    Raises ConfigError if another run holds it, or if a new training would mix with an older one.
    """
    if not is_rank_zero():
        yield
        return
    folder = Path(config.run_dir)
    with _locked(folder):
        if config.task == "fit":
            _make_way(folder, config)
        with sent_at_the_end(folder, config):
            yield
            if config.task == "fit" and _has_trained(folder):
                (folder / FINISHED).touch()


def _has_trained(folder: Path) -> bool:
    """Whether the run was more than a search, as for a learning rate, by what it wrote of itself."""
    metrics = folder / "metrics.json"
    return not metrics.is_file() or json.loads(metrics.read_text()).get("train/steps") != 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            # Not flock: a forked child that outlives the run would go on holding that.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ConfigError(f"run_dir={folder} is in use by {file.read()}: wait for it, or give another") from None
        except OSError as error:  # a file system without locks
            sys.stderr.write(f"note: {folder} cannot be locked ({error.strerror}): nothing keeps a second run out\n")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _make_way(folder: Path, config: Any) -> None:
    """See to it that a training finds its own files in the folder, or none."""
    continues = config.resume or (config.checkpoint and _is_in(config.checkpoint, folder))
    if config.overwrite:
        for name in CLEARED:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    elif not continues and ((folder / FINISHED).exists() or checkpoints_in(folder)):
        state = "a finished run" if (folder / FINISHED).exists() else "the checkpoints of a stopped run"
        raise ConfigError(
            f"run_dir={shown(folder)} holds {state}: continue it with resume=true, or clear it with overwrite=true"
        )
    (folder / FINISHED).unlink(missing_ok=True)


def _is_in(path: str, folder: str | Path) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def show_results(run_dir: str, scores: Mapping[str, Any]) -> None:
    """Print the final scores, and what lies in the folder; one process of a run, rank 0, speaks for all."""
    if not is_rank_zero():
        return
    for name, value in sorted(scores.items()):
        print(f"{name:26}{value:#.4g}")
    print(f"{shown(run_dir)}: {', '.join(sorted(path.name for path in Path(run_dir).glob('[!.]*')))}")


# ---- where a run begins ----


def checkpoints_in(run_dir: str | Path) -> list[Path]:
    """The checkpoints of a run: the last one first, then the others from the newest on."""
    found = (Path(run_dir) / "checkpoints").glob("*.ckpt")
    return sorted(found, key=lambda path: (path.name == "last.ckpt", path.stat().st_mtime), reverse=True)


def checkpoint_to_load(config: Any) -> str | None:
    """Where the run begins: at a whole checkpoint of run_dir if it is to resume and has one, else at `checkpoint`.

    The last one is preferred, then the newest. Scoring does not resume: it is of `checkpoint`.
    Says so if that is not last.ckpt. Raises ConfigError if none of them is whole.
    """
    found = checkpoints_in(config.run_dir) if config.resume and config.task == "fit" else []
    if not found:
        return config.checkpoint
    damaged = []
    for path in found:
        damage = damage_of(path)
        if damage is None:
            _tell(path, damaged)
            return str(path)
        damaged.append(f"{path.name} is damaged ({damage})")
    raise ConfigError(
        f"no checkpoint to resume from in {config.run_dir}: {', '.join(damaged)}; overwrite=true begins anew"
    )


def _tell(chosen: Path, damaged: list[str]) -> None:
    if chosen.name != "last.ckpt" and is_rank_zero():
        sys.stderr.write(f"note: resumed from {chosen}, since {', '.join(damaged) or 'there is no last.ckpt'}\n")
