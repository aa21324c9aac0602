"""The net's scores beside those of models that need no net: a constant, and a linear model fitted in a second."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error
from sklearn.preprocessing import OneHotEncoder

from src.report.parts import Part, Table
from src.report.tables.net import TableNet, TableRows

MAX_ROWS = 20_000  # that the linear model learns from
MAX_CLASSES = 30  # the linear model's time grows with them
CLASS_NOTE = "AUROC: 0.5 is guessing, 1 perfect; of several classes the mean, each against the others."
VALUE_NOTE = "RMSE and MAE are in the target's units."


def comparison(net: TableNet, datamodule: pl.LightningDataModule, rows: TableRows) -> list[Part]:
    """A table of the scores of net, linear model and constant on some rows; none without rows to learn from."""
    train = getattr(datamodule, "splits", {}).get("train")
    if train is None:
        return []
    every = TableRows(*train.tensors[:3], numbers=torch.arange(len(train.targets)))
    learned = every.evenly(MAX_ROWS)
    answers = {"this net": net.predictions(rows)}
    if len(net.names) <= MAX_CLASSES:
        answers["a linear model"] = linear_answers(net, learned, rows)
    answers["a constant"] = constant_answers(net, every, rows)
    scored = value_scores if net.is_regression else class_scores
    scores = {name: scored(net.truth(rows), predicted, net.names) for name, predicted in answers.items()}
    head = ["", *scores["this net"]]
    parameters = sum(parameter.numel() for parameter in net.model.parameters())
    note = (
        f"{VALUE_NOTE if net.is_regression else CLASS_NOTE} The net has {parameters:,} parameters and learned from "
        f"{len(every):,} rows, the linear model from {len(learned):,} of them, categories one-hot. The constant is "
        f"{'their mean' if net.is_regression else 'their share of each class'}. If the net is not clearly better than "
        "the linear model, it was not trained well, or is not worth its trouble."
    )
    return [Table("Beside simple models", head, [[name, *row.values()] for name, row in scores.items()], note)]


def constant_answers(net: TableNet, learned: TableRows, rows: TableRows) -> np.ndarray:
    """The share of each class, or the mean of each target, in the rows to learn from: the same answer for all rows."""
    truth = net.truth(learned)
    answer = truth.mean(0) if net.is_regression else np.bincount(truth, minlength=len(net.names)) / len(truth)
    return np.tile(answer, (len(rows), 1))


def linear_answers(net: TableNet, learned: TableRows, rows: TableRows) -> np.ndarray:
    """What ridge regression or logistic regression, with the penalty 1, predicts: as TableNet.predictions.

    Values stay within those of the rows to learn from.
    """
    inputs, asked = _inputs(learned, rows)
    targets = learned.targets.cpu().numpy()
    if net.is_regression:
        values = Ridge().fit(inputs, targets).predict(asked).reshape(len(rows), -1)
        return net.in_units(torch.from_numpy(values.clip(targets.min(0), targets.max(0))).double())
    probabilities = np.zeros((len(rows), len(net.names)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is a baseline, after so many steps
        fitted = LogisticRegression(max_iter=200).fit(inputs, targets)
    probabilities[:, fitted.classes_] = fitted.predict_proba(asked)
    return probabilities


def _inputs(*parts: TableRows) -> list[Any]:
    """Categories as indicators of those in the first part, beside the numbers."""
    codes = [part.categories.cpu().numpy() for part in parts]
    numbers = [csr_matrix(part.continuous.cpu().numpy()) for part in parts]
    if not codes[0].shape[1]:
        return numbers
    encoder = OneHotEncoder(handle_unknown="ignore").fit(codes[0])
    return [hstack([encoder.transform(own), beside]).tocsr() for own, beside in zip(codes, numbers, strict=True)]


def class_scores(truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """AUROC, log loss and accuracy."""
    shown = [1] if len(names) == 2 else range(len(names))
    areas = [roc_auc_score(truth == c, probabilities[:, c]) for c in shown if 0 < (truth == c).sum() < len(truth)]
    return {
        "AUROC": float(np.mean(areas)) if areas else "one class only",
        "log loss": float(-np.log(probabilities[np.arange(len(truth)), truth].clip(1e-9)).mean()),
        "accuracy": float((probabilities.argmax(1) == truth).mean()),
    }


def value_scores(truth: np.ndarray, values: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """RMSE and MAE of each target."""
    found = {}
    for name, true, predicted in zip(names, truth.T, values.T, strict=True):
        suffix = f", {name}" if len(names) > 1 else ""
        found[f"RMSE{suffix}"] = float(root_mean_squared_error(true, predicted))
        found[f"MAE{suffix}"] = float(mean_absolute_error(true, predicted))
    return found
