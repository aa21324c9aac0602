"""A table, an EntityMLP and a model so small that a test trains in a tenth of a second."""

from functools import partial

import pytorch_lightning as pl
import torch

from src.datamodules.loader import BatchLoader
from src.models.schedules import constant
from src.models.tables.entity_mlp import EntityMLP
from src.models.tables.tabular_model import TabularModel

SPEC = {
    "task": "multiclass",
    "category_sizes": [5, 4],
    "num_continuous": 3,
    "num_outputs": 3,
    "class_names": ["a", "b", "c"],
    "continuous_bins": [[-1.0, 0.0, 1.0], [-2.0, 2.0], [-1.0, -0.5, 0.5, 2.0]],
    "target_range": [],
    "processing": {},
}
BINARY = {"task": "binary", "num_outputs": 1, "class_names": ["no", "yes"]}
REGRESSION = {
    "task": "regression",
    "num_outputs": 2,
    "class_names": [],
    "target_range": [[-1.0, 3.0], [-2.0, 2.0]],
    "processing": {
        "choices": {"target": ["sales", "visits"]},
        "target": {"kind": "standardise", "mean": [10.0, 100.0], "std": [2.0, 30.0]},
    },
}


def rows(count, spec=SPEC, seed=0):
    """Categories, continuous values, and targets that both tell."""
    generator = torch.Generator().manual_seed(seed)
    categories = torch.stack([torch.randint(size, (count,), generator=generator) for size in spec["category_sizes"]], 1)
    continuous = torch.randn(count, spec["num_continuous"], generator=generator)
    signal = categories[:, 0] - 2 + continuous[:, 0]
    if spec["task"] == "regression":
        return categories, continuous, torch.stack([signal, -signal], 1)
    return categories, continuous, signal.round().long() % len(spec["class_names"])


class TinyTable(pl.LightningDataModule):
    """12 rows to train on in 3 batches, 7 to validate on in 2, 5 to test on in 2."""

    def __init__(self, **facts):
        super().__init__()
        self.spec = SPEC | facts

    def train_dataloader(self):
        return BatchLoader(*rows(12, self.spec), batch_size=4, shuffle=True)

    def val_dataloader(self):
        return BatchLoader(*rows(7, self.spec, seed=1), batch_size=4)

    def test_dataloader(self):
        return BatchLoader(*rows(5, self.spec, seed=2), batch_size=3)


def choices(**changes):
    """The choices of an EntityMLP, all options off."""
    return {
        "embedding_width": "power",
        "max_embedding_width": 600,
        "embedding_dropout": 0.0,
        "embedding_std": 0.01,
        "max_input_size": None,
        "unknown_dropout": 0.0,
        "numerical": "none",
        "numerical_width": 6,
        "num_frequencies": 5,
        "frequency_scale": 0.1,
        "widths": [8, 7],
        "relu": True,
        "dropout": 0.0,
        "batch_norm": True,
        "num_members": 1,
        "y_range": False,
        **changes,
    }


def tabular_model(net=None, **changes):
    settings = {
        "net": net or partial(EntityMLP, **choices()),
        "optimizer": partial(torch.optim.SGD, momentum=0.9),
        "scheduler": constant,
        "lr": 0.1,
        "lr_ratio": 1.0,
        "regression_loss": "mse",
        "class_weights": None,
        "label_smoothing": 0.0,
        "answer_margin": None,
        "compile": False,
    }
    return TabularModel(**(settings | changes))


def built(model=None, **facts):
    """A model with its net, without a trainer, in evaluation mode."""
    model = model or tabular_model()
    model.hparams["spec"] = SPEC | facts
    model.configure_model()
    return model.eval()
