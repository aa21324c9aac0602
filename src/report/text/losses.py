"""What a language model makes of a text: the loss of each token, and how far up its list the true ones stand."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.report.rows import rows_of, split_of

SPLITS = {"test": "test", "val": "valid"}  # names of streams
IGNORED = -100  # targets that only fill the last window
NUM_RANKED = 4000  # tokens of which all the vocabulary's logits are looked at
CHUNK = 64  # tokens whose logits exist at one time


@dataclass(frozen=True)
class TextLosses:
    """Of a text that is read in tracks, side by side; each begins without a past.

    batch: tokens, targets and, where documents have them, starts; each (time, tracks).  losses: (time, tracks), in
    nats, of the targets; 0 where there is none.  ranks: of some tokens, how many the net holds for likelier than the
    true one.  confidences: the probability of the likeliest, for the same ones.  total: targets that the text has.
    """

    batch: tuple[Tensor, ...]
    losses: Tensor
    ranks: np.ndarray
    confidences: np.ndarray
    total: int

    @property
    def counted(self) -> Tensor:
        """Where there is a target: bool (time, tracks)."""
        return self.batch[1] != IGNORED

    @property
    def mean(self) -> float:
        """The mean loss, that of the test if all was read."""
        return float(self.losses.double().sum() / self.counted.sum())


@torch.no_grad()
def losses_of(model: Any, datamodule: Any, max_tokens: int) -> TextLosses:
    """Read the beginnings of all tracks, window after window, max_tokens together at most, but for one window at least.

    The model has `token_losses`, and a net with a `decoder`; it computes as the test does.
    """
    generator = np.random.default_rng(0)
    total = len(datamodule.tokens[SPLITS[split_of(datamodule)]]) - 1
    share = NUM_RANKED / min(max_tokens, total)
    state, num_tokens = None, 0
    batches, losses, features, targets = [], [], [], []
    for batch in rows_of(datamodule):
        counted = batch[1] != IGNORED
        num_tokens += int(counted.sum())
        if batches and num_tokens > max_tokens:
            break
        with as_in_test(datamodule):
            found, (dropped, _, state) = model.token_losses(batch, state)
        batches.append(batch)
        losses.append(found)
        chosen = counted & torch.from_numpy(generator.random(counted.shape) < share).to(counted.device)
        features.append(dropped[chosen])
        targets.append(batch[1][chosen])
    ranks, confidences = _ranks(model.net.decoder, torch.cat(features).float(), torch.cat(targets))
    whole = tuple(torch.cat(parts).cpu() for parts in zip(*batches, strict=True))
    return TextLosses(whole, torch.cat(losses).float().cpu(), ranks, confidences, total)


def as_in_test(datamodule: pl.LightningDataModule) -> AbstractContextManager[Any]:
    """The precision in which the trainer, if there is one, has tested."""
    trainer = datamodule.trainer
    return nullcontext() if trainer is None else trainer.precision_plugin.forward_context()


def _ranks(decoder: Any, features: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    ranks, confidences = [], []
    for rows, own_rows in zip(features.split(CHUNK), targets.split(CHUNK), strict=True):
        logits = decoder(rows).float()
        own = logits.gather(1, own_rows[:, None])
        ranks.append((logits > own).sum(1))
        confidences.append(logits.softmax(1).max(1).values)
    return torch.cat(ranks).cpu().numpy(), torch.cat(confidences).cpu().numpy()
