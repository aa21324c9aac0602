"""Weights & Biases without surprises: no prompts, offline unless logged in, a resumed run continues its own record."""

import netrc
import os
import re
import secrets
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from pytorch_lightning import loggers
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_only

from src.core.files import write_text
from src.core.output import note


class WandbLogger(loggers.WandbLogger):
    """Lightning's WandbLogger with its record in save_dir/wandb.

    It records online if you are logged in (`wandb login`), else offline, for a later `wandb sync`; $WANDB_MODE
    overrides this. Each logger has its own W&B run, also in a multirun within one process.

    Args:
        name: of the run; the last two parts of save_dir if None.
        entity: the W&B user or team; None for your default.
        log_model: keep the best checkpoint as an artifact.
        resume: continue the record whose id is in save_dir/wandb/id.txt, instead of a new record.
    """

    def __init__(
        self,
        *,
        save_dir: str,
        project: str,
        entity: str | None,
        group: str | None,
        name: str | None,
        tags: list[str],
        log_model: bool,
        resume: bool | Literal["auto"],
    ) -> None:
        super().__init__(
            save_dir=save_dir,
            project=project,
            entity=entity,
            group=group,
            name=name or "/".join(Path(save_dir).absolute().parts[-2:]),
            tags=tags,
            id=make_run_id(Path(save_dir) / "wandb" / "id.txt", bool(resume)),
            mode=choose_mode(),
            reinit="create_new",
            settings={"quiet": True},
        )
        # Lightning passes it on even if it is None, and wandb warns that it has no effect.
        self._wandb_init.pop("anonymous", None)
        self._keeps_best = log_model
        self._callback: Checkpoint | None = None
        self._kept: tuple[str, float] | None = None

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        if getattr(checkpoint_callback, "monitor", None) is not None:
            self._callback = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the best checkpoint; close the record of a failed run. The process closes that of a finished run."""
        best = getattr(self._callback, "best_model_path", "")
        if self._keeps_best and status == "success" and best and Path(best).is_file():
            self._keep(Path(best))
        if status == "failed" and self._experiment is not None:
            self._experiment.finish(exit_code=1)
            self._experiment = None

    def _keep(self, best: Path) -> None:
        import wandb

        # Fit and test both end with finalize: keep the same file only once.
        state = (str(best), best.stat().st_mtime)
        if state == self._kept:
            return
        self._kept = state
        artifact = wandb.Artifact(f"model-{self.version}", type="model")
        # immutable: uploaded from its place; else an offline run copies it into the home folder
        artifact.add_file(str(best), name="best.ckpt", policy="immutable")
        self.experiment.log_artifact(artifact, aliases=["best"])


def make_run_id(path: Path, resume: bool) -> str:
    """Read the id in a file if `resume`, else draw a new one, which the first rank writes there."""
    known = path.read_bytes().decode(errors="replace").strip() if resume and path.is_file() else ""
    if re.fullmatch(r"[\w-]+", known):
        return known
    if path.is_file() and resume:
        rank_zero_only(note)(f"{path} is damaged: W&B keeps the rest of this run as a run of its own")
    new = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)  # set by a sweep's agent
    if rank_zero_only.rank == 0:  # pyright: ignore[reportFunctionMemberAccess]
        write_text(path, f"{new}\n")
    return new


def choose_mode() -> str:
    """$WANDB_MODE if set, else online if logged in, else offline.

    Raises:
        ValueError: the mode is online and there is no key; wandb would stop and ask for one.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode == "online" and not is_logged_in():
        raise ValueError("WANDB_MODE=online needs an API key: run `wandb login`, or unset it to record offline")
    return mode or ("online" if is_logged_in() else "offline")


def is_logged_in() -> bool:
    """Whether the environment or the netrc file has a key for the W&B server; contacts no server."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    files = [Path(f) for f in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc") if f]
    path = next((f.expanduser() for f in files if f.expanduser().is_file()), None)
    try:
        return path is not None and netrc.netrc(path).authenticators(host) is not None
    except netrc.NetrcParseError:
        return False
