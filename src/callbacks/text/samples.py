"""Shows after each validation how the language model continues a few words."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from src.core.files import append_text, sync
from src.core.saving import saving


class TextSamples(Callback):
    """Appends a continuation of each prompt to a file, with epoch and step, and sends them to loggers of text.

    The datamodule turns text into tokens and back (`encode`, `decode`); the model draws tokens (`continued`) with its
    own generator, which leaves training unaffected. A resumed run continues the file from where it was at the
    checkpoint; a new run starts the file again.

    Args:
        path: the file.
        prompts: the texts to continue, at least one.
        length: the number of tokens to draw, at least 1.
        temperature: divides the logits.
        top_p: draw from the most likely tokens that add up to this probability; None for all.
    """

    def __init__(self, *, path: str, prompts: list[str], length: int, temperature: float, top_p: float | None) -> None:
        if not prompts or length < 1:
            raise ValueError(f"text_samples needs a prompt and length >= 1, got {prompts=}, {length=}")
        self.path = Path(path)
        self.prompts = prompts
        self.length = length
        self.sampling = {"temperature": temperature, "top_p": top_p}
        self._num_bytes = 0

    def state_dict(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {"bytes": 0}
        with saving(self.path):
            sync(self.path)  # before the checkpoint that counts it
        return {"bytes": self.path.stat().st_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._num_bytes = state_dict["bytes"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "encode") or not hasattr(pl_module, "continued"):
            raise TypeError(
                "text_samples needs a datamodule with encode() and decode() and a model with continued(), got "
                f"{type(datamodule).__name__} and {type(pl_module).__name__}"
            )

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.path.is_file():
            os.truncate(self.path, min(self._num_bytes, self.path.stat().st_size))
        self._num_bytes = 0

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        data, model = trainer.datamodule, pl_module  # pyright: ignore[reportAttributeAccessIssue]
        texts = []
        for prompt in self.prompts:
            tokens = data.encode(prompt)
            drawn = model.continued(tokens, self.length, **self.sampling)  # pyright: ignore[reportCallIssue]
            texts.append(data.decode([*tokens, *drawn]))
        place = f"epoch {trainer.current_epoch}, step {trainer.global_step}"
        with saving(self.path):
            append_text(self.path, "".join(f"{place}: {text}\n" for text in texts))
        for logger in trainer.loggers:
            if hasattr(logger, "log_text"):
                rows = [[prompt, text] for prompt, text in zip(self.prompts, texts, strict=True)]
                logger.log_text("samples", ["prompt", "text"], rows, step=trainer.global_step)  # pyright: ignore
