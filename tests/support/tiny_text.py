"""A text, a language net and a model so small that a test trains in a tenth of a second."""

from functools import partial

import pytorch_lightning as pl
import torch
from torch import nn

from src.datamodules.text.bptt_loader import BPTTLoader
from src.models.schedules import constant
from src.models.text.language_model import LanguageModel
from src.models.text.recurrent_net import LanguageFeatures

SPEC = {"vocab_size": 11, "vocabulary": list("abcdefghijk"), "tokenizer": {"name": "char"}}


def stream(num_tokens, seed=0):
    """Random tokens of a vocabulary of 11, every other one the successor of the one before."""
    tokens = torch.randint(11, (num_tokens,), generator=torch.Generator().manual_seed(seed))
    tokens[1::2] = (tokens[: num_tokens // 2 * 2 : 2] + 1) % 11
    return tokens


class TinyText(pl.LightningDataModule):
    """3 tracks of 26 tokens to train on, in 6 windows of at most 5; 41 tokens to validate on, 40 to test on."""

    def __init__(self, *, tokens=None, vocab_size=11, eval_batch_size=2, **loader):
        super().__init__()
        self.spec = SPEC | {"vocab_size": vocab_size}
        self.tokens = stream(79) if tokens is None else tokens
        self.loader = {"batch_size": 3, "bptt": 5, "seed": 0} | loader
        self.eval_batch_size = eval_batch_size

    def train_dataloader(self):
        return BPTTLoader(self.tokens, **self.loader)

    def val_dataloader(self):
        return BPTTLoader(stream(41, seed=1), batch_size=self.eval_batch_size, bptt=4, keep_tail=True)

    def test_dataloader(self):
        return BPTTLoader(stream(40, seed=2), batch_size=self.eval_batch_size, bptt=4, keep_tail=True)


class TinyLanguageNet(nn.Module):
    """An LSTM after an embedding, with dropout and tied weights; its state is ((h, c),)."""

    def __init__(self, vocab_size, *, size=6, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, size)
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(size, vocab_size)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens, state=None):
        raw, state = self.lstm(self.embedding(tokens), None if state is None else state[0])
        return LanguageFeatures(self.dropout(raw), raw, (state,))


def language_model(net=TinyLanguageNet, **changes):
    choices = {
        "net": net,
        "optimizer": partial(torch.optim.SGD, momentum=0.9),
        "scheduler": constant,
        "lr": 0.1,
        "lr_ratio": 1.0,
        "alpha": 0.0,
        "beta": 0.0,
        "loss_chunk": 7,
        "projection": "fp32",
        "cache": None,
        "dynamic": None,
        "compile": False,
    }
    return LanguageModel(**(choices | changes))


def built(model=None, **facts):
    """A model with its net, without a trainer, in evaluation mode."""
    model = model or language_model()
    model.hparams["spec"] = SPEC | facts
    model.configure_model()
    return model.eval()
