"""The table of a comparison, made of a frame."""

import torch

from scripts.compare_tabular.features import Table
from src.datamodules.tables.encoded import TableRows
from src.datamodules.tables.processing import TableProcessing


def table_of(frame, task="regression", **choices):
    """The same rows to train, validate and test on."""
    names = {"target": "y", "task": task, "categorical": ["c"], "continuous": [], "dates": [], "min_freq": 1}
    scalings = {"continuous_scaling": "standardise", "clip_numbers": False, "target_scaling": "none"}
    others = {"date_parts": [], "date_format": None, "positive": None}
    processing = TableProcessing(**{**names, **scalings, **others, **choices})
    processing.fit(frame)
    arrays = [*processing.encode(frame), processing.encode_target(frame)]
    spec = {"task": task, "class_names": processing.class_names, "processing": processing.state}
    return Table(spec, dict.fromkeys(("train", "valid", "test"), TableRows(*map(torch.from_numpy, arrays))))
