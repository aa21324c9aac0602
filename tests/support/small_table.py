"""A table of known rows, and nets written by hand, for tests of reports on tables."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from src.datamodules.tables.base import TableData
from tests.support.make_data import table_settings
from tests.support.tiny_table import tabular_model

TARGETS = {"binary": "late", "multiclass": "grade", "regression": "price"}


def frame_of(rows, seed=0):
    """Towns and sizes (some are missing), dates, and a target for each task; `id` counts the rows."""
    random = np.random.default_rng(seed)
    size = random.normal(50, 20, rows).round(2)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "town": random.choice(["Bonn", "Kiel", "Ulm", "Trier", None], rows, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
            "open": random.choice(["no", "yes"], rows),
            "size": np.where(random.random(rows) < 0.1, np.nan, size),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 700, rows), "D"),
            "late": np.where(size > 50, "yes", "no"),
            "grade": np.array(["A", "B", "C", "D"])[np.digitize(size, [35, 50, 65])],
            "price": 10 * size + random.normal(0, 5, rows),
            "weight": size + 1000,
        }
    )


class SmallTable(TableData):
    """A frame in memory."""

    set_name = "small"

    def __init__(self, frame, **table_data):
        super().__init__(**table_data)
        self.frame = frame

    def fingerprint(self):
        return str(pd.util.hash_pandas_object(self.frame).sum())

    def frames(self):
        return {"train": self.frame}


def table_of(folder, task="regression", frame=None, **changes):
    """The table, set up; half of its rows are test rows."""
    usual = {"categorical": ["town", "open"], "continuous": ["size", "id"], "dates": ["day"], "target": TARGETS[task]}
    settings = table_settings(task=task, test_fraction=0.5, **(usual | changes))
    data = SmallTable(frame_of(400) if frame is None else frame, cache_dir=str(folder), **settings)
    data.prepare_data()
    data.setup("test")
    return data


class ByHand(nn.Module):
    """Returns what a function computes from the categories and the numbers: (rows, outputs)."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, categories, continuous):
        return self.function(categories, continuous)


def model_of(data, function=None, **choices):
    """A model of the table in evaluation mode, with a net by hand or an untrained one."""
    torch.manual_seed(0)
    if function is not None:
        choices["net"] = lambda category_sizes: ByHand(function)
    model = tabular_model(**choices)
    model.hparams["spec"] = data.spec
    model.configure_model()
    return model.eval()
