"""Writes checkpoints whole or not at all; reads them without running code that a file may hold."""

from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from src.core.checksums import damage_of
from src.core.files import remove_unfinished, staged
from src.core.migrations import update_checkpoint
from src.core.output import warn
from src.core.remote import RemoteError, send_run
from src.core.saving import SaveError, set_on_save_error
from src.training.foreign import check_config, keep_paths_inside
from src.training.long_lists import pack, unpack


class CheckpointIO(TorchCheckpointIO):
    """Saves and loads for Lightning. A kill, a full disk or a power cut leaves the older checkpoint whole.

    Lightning's own class writes in $TMPDIR and moves: across file systems a kill -9 at that moment left a broken file.

    Args:
        on_save_error: whether a training that cannot save stops with exit status 1, or continues with a warning.
    """

    def __init__(self, on_save_error: Literal["stop", "continue"]) -> None:
        set_on_save_error(on_save_error)
        self.on_save_error = on_save_error
        self.unsaved: set[str] = set()  # the paths whose newest checkpoint could not be saved
        self.given: ReadCheckpoint | None = None  # was read before, and is not read again

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        try:
            write_checkpoint(checkpoint, Path(path))
            send_run(Path(path).parent.parent)  # which is run_dir, for those in run_dir/checkpoints
            self.unsaved.discard(str(path))
        except (SaveError, RemoteError) as error:
            if self.on_save_error == "stop":
                raise
            self.unsaved.add(str(path))
            warn(f"{error}; the training continues")

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True) -> Any:
        given, self.given = self.given, None
        is_given = given is not None and given.path == str(path)
        # Safely, whatever weights_only says.
        checkpoint = given.take() if is_given else read_checkpoint(path)  # pyright: ignore[reportOptionalMemberAccess]
        if Path(path).name == ".temp.ckpt":  # the weights that forked ranks return
            return checkpoint
        if not isinstance(checkpoint, dict) or "pytorch-lightning_version" not in checkpoint:
            raise ValueError(f"{path} is not a checkpoint of a training; weights alone cannot be continued or scored")
        keep_paths_inside(checkpoint, path)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        # Lightning removes the older one after saving the newer one, and does not know that this failed.
        # It would remove a folder as well, and all checkpoints here are files.
        if not self.unsaved and Path(path).is_file():
            super().remove_checkpoint(path)


class ReadCheckpoint:
    """A checkpoint that a run has read to compare it with its config, before it loads it.

    Args:
        path: of the file.
        is_whole: its checksums have just been compared.
    """

    def __init__(self, path: str, *, is_whole: bool = False) -> None:
        self.path = path
        self.content: Any = _load(path) if is_whole else read_checkpoint(path)

    def take(self) -> Any:
        """Return the content and forget it: nothing keeps it in memory while the run goes on."""
        content, self.content = self.content, None
        return content


def is_unsaved(trainer: Any, path: str | Path) -> bool:
    """Whether the newest checkpoint of this path could not be written; only rank 0, which writes, knows."""
    return str(path) in getattr(trainer.strategy.checkpoint_io, "unsaved", ())


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint that takes its name once it is whole and on the disk.

    Raises:
        SaveError: the system cannot write it; what was at `path` is still there.
    """
    try:
        remove_unfinished(path)
        with staged(path) as unfinished, unfinished.open("wb") as file:
            torch.save(pack(checkpoint), file)
    except (OSError, RuntimeError) as error:
        # torch's writer ends with a RuntimeError of its own, whose context is what the system said.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        kept = "the one saved there before is whole" if path.is_file() else "there is none from before"
        raise SaveError(f"cannot save {path}: {cause.strerror}; {kept}") from error


def read_checkpoint(path: str | Path) -> Any:
    """The plain data and tensors of a checkpoint, on the CPU, in the newest format; its checksums are compared first.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds anything else, or cannot be brought to the newest format.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    damage = damage_of(path)
    if damage is not None:
        others = [p.name for p in sorted(Path(path).parent.glob("*.ckpt")) if damage_of(p) is None]
        raise ValueError(
            f"{path} is damaged or not a checkpoint: {damage}; "
            + (f"whole ones beside it: {', '.join(others)}" if others else "there is no whole one beside it")
        )
    return _load(path)


def _load(path: str | Path) -> Any:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's own text advises to load it unsafely
        raise ValueError(f"{path} is not a checkpoint of plain data and tensors; nothing else is loaded") from error
    check_config(checkpoint, path)
    checkpoint = unpack(checkpoint)
    update_checkpoint(checkpoint, path)
    return checkpoint
