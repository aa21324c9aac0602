"""The vectors that a net has learned for categories, as features for scikit-learn."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from pytorch_lightning.utilities.seed import isolate_rng
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from src.core.check import composed
from src.datamodules.folds import deal
from src.datamodules.tables.base import TableData
from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.targets import Task
from src.datamodules.tables.types import plain_frame
from src.datamodules.tables.unread import warn_of_lost_words
from src.models.tables.entity_embedding import EntityEmbedding
from src.training.checkpoint import load_model
from src.training.run import fit

Target = str | int | list[str] | list[int]
Output = Literal["vectors", "inputs"]
NAMING = ("target", "categorical", "continuous", "dates", "ignored", "split_column")  # columns


class EntityEmbedder(TransformerMixin, BaseEstimator):
    """Turns the categories of a table into their learned vectors.

    Tables are pandas DataFrames or pyarrow tables. Columns are found by name, in any order and among others, a number
    by its text; `vectors` does not need the continuous ones. A cell means what it means to predict.py. Features are
    float32, named COLUMN_0, COLUMN_1 ... Missing and unknown categories have vectors as well; the unknown one is
    learned only if min_freq or unknown_dropout produced unknown values in training.

    Beware of rows that the net was trained on: it has partly memorised their targets, the more so the rarer a category
    is. A model fitted on the same rows trusts the vectors too much, and its scores on them, also in cross-validation,
    are too good. `train_out_of_fold` helps.

    Args:
        checkpoint: of a table's model, from train.py or `EntityEmbedder.train`. `fit` only reads it.
        output: `vectors` of the categories and of the date parts that are categories, one column after another; or
            `inputs`, all that the net reads: the continuous columns follow, scaled, filled and flagged as for the net.
        trust: packages beside fastlight's, torch's and timm's whose parts the checkpoint's model may have.
    """

    def __init__(self, checkpoint: str | Path, *, output: Output = "vectors", trust: Sequence[str] = ()) -> None:
        self.checkpoint = checkpoint
        self.output = output
        self.trust = trust

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Read the checkpoint; y is not used.

        Raises ValueError if X lacks a column that the checkpoint needs, or the checkpoint is of another kind.
        """
        if self.output not in get_args(Output):
            raise ValueError(f"output must be vectors or inputs, got {self.output}")
        self.processing_, self.vectors_ = read_vectors(self.checkpoint, self.trust)
        frame = plain_frame(X)
        self._features(frame.head(0))
        self.feature_names_in_ = np.array(frame.columns, dtype=object)
        self.n_features_in_ = len(frame.columns)
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """The features, float32 (rows, features)."""
        check_is_fitted(self, "vectors_")
        frame = plain_frame(X)
        warn_of_lost_words(frame, self.processing_)
        return self._features(frame)

    def _features(self, frame: pd.DataFrame) -> np.ndarray:
        codes = self.processing_.codes(frame)
        parts = [vectors[column] for vectors, column in zip(self.vectors_, codes.T, strict=True)]
        if self.output == "inputs":
            parts.append(self.processing_.numbers(frame))
        return np.concatenate(parts, axis=1) if parts else np.empty((len(frame), 0), np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the features; input_features is not used."""
        check_is_fitted(self, "vectors_")
        columns = zip(self.processing_.category_names, self.vectors_, strict=True)
        names = [f"{name}_{number}" for name, vectors in columns for number in range(vectors.shape[1])]
        return np.array(names + (self.processing_.continuous_names if self.output == "inputs" else []), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = tags.input_tags.string = tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @classmethod
    def train(
        cls,
        frame: pd.DataFrame,
        *,
        target: Target,
        task: Task,
        checkpoint: str | Path | None = None,
        overrides: Sequence[str] = (),
        output: Output = "vectors",
        **table: Any,
    ) -> Self:
        """Train a net quietly to predict the target, and make an embedder from it.

        A tenth of the rows chooses the best epoch.

        Args:
            frame: the table, with the target.
            target: the column to predict, or several for a regression.
            task: binary, multiclass or regression.
            checkpoint: the file to keep the net in, which predict.py can read; None: a file deleted with this process.
            overrides: as on train.py's command line: `["trainer.max_epochs=3", "model.net.unknown_dropout=0.1"]`.
            output: see the class.
            **table: choices of TableData, such as `categorical=["Store"], min_freq=20, seed=1`; conf/datamodule/
                table_data.yaml has the defaults.
        """
        kept = Path(tempfile.mkdtemp(prefix="embedder-"), "best.ckpt") if checkpoint is None else Path(checkpoint)
        if checkpoint is None:
            atexit.register(shutil.rmtree, kept.parent, ignore_errors=True)
        frame, table = plain_frame(frame), _named_by_text({"target": target, "task": task, **table})
        with tempfile.TemporaryDirectory() as folder, isolate_rng():
            best = _train(folder, frame, overrides, table)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(best, kept)
        return cls(str(kept), output=output).fit(frame)

    @classmethod
    def train_out_of_fold(
        cls,
        frame: pd.DataFrame,
        *,
        target: Target,
        task: Task,
        folds: int = 2,
        seed: int = 0,
        **train: Any,
    ) -> list[tuple[Self, np.ndarray]]:
        """For each fold of the rows, an embedder that has not seen them, and the positions of the rows.

        Each net has its own axes: vectors of two folds have nothing in common, so no model may read both. Fit one model
        on each fold, and predict with the mean of all:

            pairs = EntityEmbedder.train_out_of_fold(frame, target="late", task="binary")
            models = [clone(model).fit(embedder.transform(frame.iloc[rows]), y[rows]) for embedder, rows in pairs]
            scores = [m.predict_proba(e.transform(new))[:, 1] for m, (e, _) in zip(models, pairs)]
            score = np.mean(scores, axis=0)

        On flights, 40 trees of LightGBM had a test AUROC of 0.759 on vectors of the rows they were fitted on, 0.772 on
        one fold of two, and 0.775 as the mean of both.

        Args:
            frame: the table, with the target.
            target: the column to predict, or several for a regression.
            task: binary, multiclass or regression.
            folds: how many; the same rows as those of datamodule.fold.
            seed: of the folds and of the trainings.
            **train: further arguments of `train`.
        """
        frame = plain_frame(frame)
        classes = None if task == "regression" else pd.Series(frame[str(target)])
        labels = np.zeros(len(frame), np.int64) if classes is None else distinct_texts(classes)[0]
        fold_of = deal(labels, folds, seed)
        chosen = {"target": target, "task": task, "seed": seed, **train}
        return [
            (cls.train(frame.loc[fold_of != fold], **chosen), np.flatnonzero(fold_of == fold)) for fold in range(folds)
        ]


def read_vectors(checkpoint: str | Path, trust: Sequence[str] = ()) -> tuple[TableProcessing, list[np.ndarray]]:
    """The processing of a table's checkpoint, and for each column the vectors of its codes, float32 (codes, width).

    Raises ValueError if the checkpoint belongs to another kind of model.
    """
    with isolate_rng():  # a net draws weights before it gets those of the checkpoint
        model = load_model(checkpoint, trust)
    embedding = getattr(model.net, "embedding", None)
    if not isinstance(embedding, EntityEmbedding):
        raise ValueError(f"{checkpoint} holds no entity embeddings: train with model=tabular_model")
    processing = TableProcessing.from_state(model.hparams["spec"]["processing"])
    return processing, [embedding.vectors(column).numpy() for column in range(len(processing.category_names))]


def _named_by_text(table: dict[str, Any]) -> dict[str, Any]:
    """Choices of TableData in which columns may be numbers, as a frame names them."""
    named = {key: table[key] for key in NAMING if table.get(key) is not None}
    return table | {
        key: list(map(str, names)) if isinstance(names, list | tuple) else str(names) for key, names in named.items()
    }


class _Frame(TableData):
    """A table in memory."""

    set_name = "frame"

    def __init__(self, frame: pd.DataFrame, **table_data: Any) -> None:
        super().__init__(**table_data)
        self.frame = frame

    def fingerprint(self) -> str:
        return ""  # its cache serves one training

    def frames(self) -> dict[str, pd.DataFrame]:
        return {"train": self.frame}


def _train(folder: str, frame: pd.DataFrame, overrides: Sequence[str], table: dict[str, Any]) -> Path:
    """Train in a folder; returns the path of the best checkpoint."""
    groups = ["~experiment", "datamodule=table_data", "model=tabular_model", "callbacks=default", "logger=none"]
    places = [f"run_dir={folder}", f"cache_dir={folder}", "quiet=true", "~callbacks.report"]
    # The frame replaces these data; its target may have any name.
    chosen = ["datamodule.target=any", f"datamodule.task={table['task']}", f"seed={table.get('seed', 0)}"]
    overrides = [*groups, *places, *chosen, *overrides]
    defaults: Any = OmegaConf.to_container(composed(overrides).datamodule, resolve=True)
    defaults |= {"test_fraction": 0}
    defaults.pop("_target_", None)
    return fit(overrides, datamodule=_Frame(frame, **(defaults | table))).run_dir.best_ckpt
