"""One folder, one run: its files by name, who may write there, where a resumed run begins. Without torch."""

import fcntl
import os
import platform
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.checksums import damage_of
from src.core.errors import ConfigError
from src.core.files import make_folder, read_json, removed_if_empty, sync, write_text
from src.core.migrations import FORMAT_KEY, newest_format
from src.core.output import note, show
from src.core.ranks import is_rank_zero
from src.core.remote import sent_at_the_end, shown
from src.core.saving import saving


class RunDir:
    """The files of one run. Each attribute is the path of the file that it is named after.

    Attributes:
        config_yaml: the resolved config, which repeats the run.
        overrides_json: the choices on the command line; missing if they alone do not repeat the run.
        kept_json: what a run that began before an upgrade keeps doing, by key; missing if there is nothing.
        metrics_csv: what was logged, step by step.
        metrics_json: the final scores, times and speeds.
        out_of_fold_csv: with datamodule.fold, what is predicted for its rows.
        columns_csv: what each column of a table is used for, and why, if "auto" chose.
        environment_json: the machine and the versions.
        finished: an empty file, made when a training has come to its end.
        lock: who writes here at the moment.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.config_yaml = self.folder / "config.yaml"
        self.overrides_json = self.folder / "overrides.json"
        self.kept_json = self.folder / "kept.json"
        self.metrics_csv = self.folder / "metrics.csv"
        self.metrics_json = self.folder / "metrics.json"
        self.out_of_fold_csv = self.folder / "out_of_fold.csv"
        self.columns_csv = self.folder / "columns.csv"
        self.environment_json = self.folder / "environment.json"
        self.report_html = self.folder / "report.html"
        self.lr_finder_csv = self.folder / "lr_finder.csv"
        self.lr_finder_png = self.folder / "lr_finder.png"
        self.bptt_finder_csv = self.folder / "bptt_finder.csv"
        self.bptt_finder_png = self.folder / "bptt_finder.png"
        self.checkpoints = self.folder / "checkpoints"
        self.best_ckpt = self.checkpoints / "best.ckpt"
        self.last_ckpt = self.checkpoints / "last.ckpt"
        self.tensorboard = self.folder / "tensorboard"
        self.finished = self.folder / "finished"
        self.lock = self.folder / ".lock"

    def metrics(self) -> dict[str, float | None]:
        """The numbers of metrics.json, null where one is not finite; empty if there is no such file."""
        found = (read_json(self.metrics_json, dict) or {}).items()
        return {name: value for name, value in found if value is None or isinstance(value, int | float)}

    def environment(self) -> dict[str, str | None]:
        """What environment.json says of the machine and the versions; empty if there is no such file."""
        found = (read_json(self.environment_json, dict) or {}).items()
        return {name: value for name, value in found if value is None or isinstance(value, str)}

    def kept(self) -> dict[str, Any]:
        """What kept.json says; empty if there is no such file."""
        return read_json(self.kept_json, dict) or {}

    def command(self) -> str:
        """The command line that repeats the run: as it was started if that is known, else from config.yaml."""
        overrides = read_json(self.overrides_json, list)
        if overrides is None or self._is_older():
            return f"python train.py --config-path={self.folder} --config-name=config run_dir=NEW"
        return shlex.join(["python", "train.py", *map(str, overrides)])

    def _is_older(self) -> bool:
        """Whether the config is of an older format, whose command line conf may not understand any more."""
        if not self.config_yaml.is_file():
            return False
        text = self.config_yaml.read_text(encoding="utf-8", errors="replace")
        found = re.search(rf"^{FORMAT_KEY}: (\d+)$", text, re.MULTILINE)
        return int(found[1] if found else 1) < newest_format()

    def checkpoint_files(self) -> list[Path]:
        """All checkpoints: last.ckpt first, then the others from the newest on."""
        found = [path for path in self.checkpoints.glob("*.ckpt") if not path.name.startswith(".")]  # unfinished
        return sorted(found, key=lambda path: (path == self.last_ckpt, path.stat().st_mtime), reverse=True)

    def clear(self) -> None:
        """Remove what would mix with a new run."""
        for path in (
            self.finished,
            self.checkpoints,
            self.tensorboard,
            self.metrics_csv,
            self.metrics_json,
            self.out_of_fold_csv,
            self.columns_csv,
            self.kept_json,
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def check_start(config: dict[str, Any]) -> None:
    """Raise ConfigError if resume, overwrite and checkpoint contradict one another or the files in run_dir."""
    folder = config["run_dir"]
    if config["resume"] is True and not RunDir(folder).checkpoint_files():
        raise ConfigError(
            f"resume=true continues the run in run_dir, but {shown(folder)}/checkpoints has no checkpoint; "
            "give run_dir=PATH"
        )
    sources = [path for path in (config["checkpoint"], config["model"].get("backbone")) if path]
    if config["overwrite"] and (config["resume"] or any(_is_in(path, folder) for path in sources)):
        raise ConfigError("overwrite=true clears run_dir, and with it what the run starts from: leave out one")


@contextmanager
def own_run_dir(config: Any) -> Iterator[None]:
    """Lock run_dir within the block, and mark the run as finished when a training has come to its end.

    Rank 0 holds the lock for all ranks; the system releases it however that process ends.

    Raises:
        ConfigError: another run holds the lock, or a new training would mix with an older one.
    """
    if not is_rank_zero():
        yield
        return
    run = RunDir(config.run_dir)
    _check_links(run)
    with removed_if_empty(run.folder), _without_trace(run), _locked(run):
        if config.task == "fit":
            _make_way(run, config)
        with sent_at_the_end(run.folder, config):
            yield
            if config.task == "fit" and run.metrics().get("train/steps") != 0:  # not after a mere search
                with saving(run.finished):
                    write_text(run.finished, "")


def _check_links(run: RunDir) -> None:
    """Raise ConfigError for a link out of the folder, which may come from anyone: a run appends, cuts and replaces."""
    inside = run.folder.resolve()
    for path in (*run.folder.glob("*"), *run.folder.glob("*/*")):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise ConfigError(
                f"{path} is a link to {path.resolve()}, out of run_dir: a run would write there; "
                "put the file or folder itself in its place"
            )


@contextmanager
def _locked(run: RunDir) -> Iterator[None]:
    make_folder(run.folder)
    sync(run.folder.parent)  # Hydra has made the folder
    with run.lock.open("a+") as file:
        try:
            # Not flock: a forked child that outlives the run would keep it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise ConfigError(
                f"run_dir={run.folder} is in use by {file.read()}: wait for it, or give another"
            ) from None
        except OSError as error:  # a file system without locks
            note(f"{run.folder} cannot be locked ({error.strerror}): a second run could write into it")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _make_way(run: RunDir, config: Any) -> None:
    """Clear the folder if that is wanted. Raises ConfigError if a new training would mix with an older one."""
    continues = config.resume or (config.checkpoint and _is_in(config.checkpoint, run.folder))
    if config.overwrite:
        run.clear()
    elif not continues and (run.finished.exists() or run.checkpoint_files()):
        state = "a finished run" if run.finished.exists() else "the checkpoints of a stopped run"
        raise ConfigError(
            f"run_dir={shown(run.folder)} holds {state}: continue it with resume=true, or clear it with overwrite=true"
        )
    run.finished.unlink(missing_ok=True)


@contextmanager
def _without_trace(run: RunDir) -> Iterator[None]:
    """If the block fails, remove what start-up wrote, unless the folder held or holds anything else."""
    was_empty = not run.folder.is_dir() or not any(run.folder.iterdir())
    try:
        yield
    except Exception:
        start_up = {run.config_yaml, run.overrides_json, run.environment_json, run.lock}
        left = set(run.folder.iterdir()) if run.folder.is_dir() else set()
        if was_empty and left <= start_up:
            for path in left:
                path.unlink()
        raise


def _is_in(path: str, folder: str | Path) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def show_results(run_dir: str, scores: Mapping[str, Any]) -> None:
    """Show the final scores and the files of the run; rank 0 does it for all ranks."""
    if not is_rank_zero():
        return
    for name, value in sorted(scores.items()):
        show(f"{name:{max([25, *map(len, scores)])}} {value:#.4g}")
    show(f"{shown(run_dir)}: {', '.join(sorted(path.name for path in Path(run_dir).glob('[!.]*')))}")


def last_whole_checkpoint(run_dir: str | Path) -> Path | None:
    """The checkpoint to resume from: last.ckpt, or the newest of the others; None if the run has none.

    A note says why, if it is not last.ckpt.

    Raises:
        ConfigError: all checkpoints are damaged.
    """
    found = RunDir(run_dir).checkpoint_files()
    damaged = []
    for path in found:
        damage = damage_of(path)
        if damage is None:
            if path.name != "last.ckpt" and is_rank_zero():
                note(f"resumed from {path}, since {', '.join(damaged) or 'there is no last.ckpt'}")
            return path
        damaged.append(f"{path.name} is damaged ({damage})")
    if not found:
        return None
    raise ConfigError(f"no checkpoint to resume from in {run_dir}: {', '.join(damaged)}; overwrite=true starts again")
