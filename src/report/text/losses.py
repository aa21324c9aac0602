"""What a language model makes of a text: its tokens, the loss of each, and the rank of each among the guesses."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.report.rows import rows_of, split_of

STREAMS = {"test": "test", "val": "valid"}  # the stream of each split
IGNORED = -100  # targets that only fill the last window
NUM_RANKED = 4000  # tokens for which the logits of the whole vocabulary are looked at
CHUNK_SIZE = 64  # tokens whose logits exist at one time
COUNTED_AT_ONCE = 1 << 20  # tokens of a memory map
LINE_END = "↵"


@dataclass(frozen=True)
class Tokens:
    """The vocabulary as a reader sees it. counts: in the training text. between: what separates two tokens."""

    names: list[str]
    counts: np.ndarray
    between: str


def tokens_of(datamodule: Any) -> Tokens:
    """The vocabulary of a datamodule with `spec` and `tokens`, a stream of numbers for each split."""
    spec = datamodule.spec
    kind = spec["tokenizer"]["name"]
    between = "" if kind in ("char", "byte", "bpe") else " "
    return Tokens(_names(spec["vocabulary"], kind), _counts(datamodule.tokens["train"], spec["vocab_size"]), between)


def _names(vocabulary: list[str], kind: str) -> list[str]:
    if kind == "byte":
        vocabulary = [bytes([number]).decode("utf-8", "replace") for number in range(256)]
    if kind == "bpe":
        from tokenizers.decoders import ByteLevel

        decoder = ByteLevel()
        vocabulary = [decoder.decode([token]) for token in vocabulary]
    return [LINE_END if name == "<eos>" else name.replace("\n", LINE_END) for name in vocabulary]


def _counts(stream: np.ndarray, vocab_size: int) -> np.ndarray:
    pieces = (stream[start : start + COUNTED_AT_ONCE] for start in range(0, len(stream), COUNTED_AT_ONCE))
    return sum((np.bincount(piece, minlength=vocab_size) for piece in pieces), np.zeros(vocab_size, np.int64))


@dataclass(frozen=True)
class TextLosses:
    """The losses of a text that is read in tracks, side by side; each track starts without a past.

    Attributes:
        batch: tokens, targets and, if the text has documents, their starts; each (time, tracks).
        losses: (time, tracks), in nats; 0 where there is no target.
        ranks: for some tokens, how many others the net finds more probable than the true one.
        confidences: for the same tokens, the probability of the most probable one.
        total: how many targets the text has.
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
        """The mean loss; it equals the test loss if the whole text was read."""
        return float(self.losses.double().sum() / self.counted.sum())


@torch.no_grad()
def losses_of(model: Any, datamodule: Any, max_tokens: int) -> TextLosses:
    """Read all tracks from their start, window by window: at most max_tokens, but at least one window.

    model: has `token_losses` and a net with a `decoder`. It computes in the precision of the test.
    """
    generator = np.random.default_rng(0)
    total = len(datamodule.tokens[STREAMS[split_of(datamodule)]]) - 1
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
    for rows, own_rows in zip(features.split(CHUNK_SIZE), targets.split(CHUNK_SIZE), strict=True):
        logits = decoder(rows).float()
        own = logits.gather(1, own_rows[:, None])
        ranks.append((logits > own).sum(1))
        confidences.append(logits.softmax(1).max(1).values)
    return torch.cat(ranks).cpu().numpy(), torch.cat(confidences).cpu().numpy()
