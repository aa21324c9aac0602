"""The comparison itself: the net and its rivals, with each kind of features, seed by seed."""

import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from scripts.compare_tabular.features import Part, Table, as_codes, as_target_means, as_vectors
from scripts.compare_tabular.report import FEATURES
from scripts.compare_tabular.rivals import RIVALS, Predictor, Settings, fit_rival
from src.core.output import show
from src.datamodules.base import fitting_batch_size
from src.datamodules.folds import deal
from src.datamodules.loader import BatchLoader
from src.datamodules.tables.base import TableData
from src.datamodules.tables.encoded import TableRows, bins_of
from src.predict.tables import predict_values
from src.training.length import fitting_epochs

# Factors of the experiment's settings.
NET_TRIES: list[Settings] = [
    {"model.lr": rate, "trainer.max_epochs": epochs} for rate in (1.0, 0.3) for epochs in (1.0, 0.5)
]


def read_table(cfg: DictConfig) -> Table:
    """Read the rows of the experiment's table.

    Raises:
        ValueError: the table has no categories, or more than one target.
    """
    datamodule = instantiate(cfg.datamodule, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    if len(datamodule.target) > 1:
        raise ValueError(f"the comparison takes one target, got {datamodule.target}: choose one by datamodule.target")
    splits = {
        split: TableRows(rows.categories.long(), rows.continuous, rows.targets)
        for split, rows in datamodule.splits.items()
    }
    if not datamodule.spec["category_sizes"]:
        raise ValueError("the comparison needs categories, got none: name columns by datamodule.categorical")
    return Table(datamodule.spec, splits)


def train_net(cfg: DictConfig, spec: dict[str, Any], rows: TableRows, factors: Settings, seed: int) -> Any:
    """Train the experiment's model on some rows; returns it as it is after the last epoch."""
    cfg = copy.deepcopy(cfg)
    size = cfg.datamodule.batch_size or fitting_batch_size(len(rows.targets), TableData.largest_batch)
    if cfg.trainer.max_epochs is None:
        cfg.trainer.max_epochs = fitting_epochs(max(1, len(rows.targets) // size))
    for key, factor in factors.items():
        value = OmegaConf.select(cfg, key)
        OmegaConf.update(cfg, key, max(1, round(value * factor)) if isinstance(value, int) else value * factor)
    pl.seed_everything(seed, verbose=False)
    model = instantiate(cfg.model, _convert_="all")
    model.hparams["spec"] = spec
    trainer = instantiate(cfg.trainer, _convert_="all", logger=False, enable_checkpointing=False, limit_val_batches=0)
    loader = BatchLoader(*rows.tensors, batch_size=size, shuffle=True, seed=seed, drop_last=len(rows.targets) > size)
    trainer.fit(model, loader, loader)  # the second loader is not read; Lightning would warn without it
    return model.eval()


def as_numbers(table: Table, part: Part) -> Table:
    """Make the table of a net without embeddings: a part's features as continuous columns."""
    bins = bins_of(part.inputs["train"])
    spec = {**table.spec, "category_sizes": [], "num_continuous": len(bins), "continuous_bins": bins}
    splits = {
        split: TableRows(rows.categories[:, :0], torch.from_numpy(part.inputs[split]), rows.targets)
        for split, rows in table.splits.items()
    }
    return Table(spec, splits)


class Comparison:
    """Runs each model with each kind of features; the first seed chooses the settings for all others.

    Attributes:
        chosen: the settings, by model and features.
        results: a row for each model, features and seed.
    """

    def __init__(self, cfg: DictConfig, table: Table, *, models: Sequence[str], in_fold: bool, max_rows: int) -> None:
        self.cfg = cfg
        self.table = table
        self.models = models
        self.in_fold = in_fold
        self.max_rows = max_rows
        self.chosen: dict[tuple[str, str], Settings] = {}
        self.results: list[dict[str, Any]] = []

    def run(self, seed: int) -> None:
        """Run each model once, or once for each try in the first run."""
        parts = {"codes": [as_codes(self.table, seed)], "targets": [as_target_means(self.table, seed)]}
        tables = {name: as_numbers(self.table, part) for name, [part] in parts.items()}
        for features, table in {**tables, "embeddings": self.table}.items():
            self._net(features, table, seed)
        parts["embeddings"] = self._parts_with_vectors(seed)
        for name in self.models:
            native = RIVALS[name].native
            here = {**parts, "native": [native(self.table, seed)]} if native else parts
            for features in filter(here.get, FEATURES):
                self._rival(name, features, here[features], seed)

    def _net(self, features: str, table: Table, seed: int) -> None:
        def fit(factors: Settings) -> Predictor:
            model = train_net(self.cfg, table.spec, table.splits["train"], factors, seed)

            def predict(split: str) -> np.ndarray:
                rows = table.splits[split]
                return predict_values(model, rows.categories.numpy(), rows.continuous.numpy()).astype(np.float64)

            return predict

        self._best_of("net", features, seed, NET_TRIES, fit)

    def _rival(self, name: str, features: str, parts: Sequence[Part], seed: int) -> None:
        rival = RIVALS[name]
        if rival.is_slow:
            parts = [part.some(self.max_rows // len(parts), seed) for part in parts]
        self._best_of(name, features, seed, rival.tries, lambda s: fit_rival(rival, s, self.table, parts, seed))

    def _parts_with_vectors(self, seed: int) -> list[Part]:
        """Give each half of the training rows the vectors of the other half's net; in-fold, all those of one net."""
        rows = self.table.splits["train"]
        everything = np.arange(len(rows.targets))
        folds = deal(everything * 0 if self.table.is_regression else rows.targets.numpy(), 2, seed)
        halves = [everything[folds == fold] for fold in range(2)]
        parts = []
        for learned_on, fitted_on in [(everything, everything)] if self.in_fold else [halves, halves[::-1]]:
            some = TableRows(*(tensor[learned_on] for tensor in rows.tensors))
            model = train_net(self.cfg, self.table.spec, some, self.chosen["net", "embeddings"], seed)
            parts.append(as_vectors(self.table, model.net.embedding, fitted_on))
        return parts

    def _best_of(
        self, model: str, features: str, seed: int, tries: Sequence[Settings], fit: Callable[[Settings], Predictor]
    ) -> None:
        """Keep the test scores of the try with the best validation score."""
        started = time.perf_counter()
        score, sign = self.table.score, -1 if self.table.score == "auroc" else 1

        def attempt(settings: Settings) -> tuple[dict[str, float], Settings, Predictor]:
            predict = fit(settings)
            return self.table.scores(predict("valid"), "valid"), settings, predict

        known = self.chosen.get((model, features))
        attempts = map(attempt, tries if known is None else [known])
        valid, settings, predict = min(attempts, key=lambda attempt: sign * attempt[0][score])
        self.chosen[model, features] = settings
        test = self.table.scores(predict("test"), "test")
        seconds = round(time.perf_counter() - started, 1)
        show(f"{model}, {features}, seed {seed}: test/{score} {test[score]:.4g} in {seconds:.0f} s")
        scores = {f"test/{name}": value for name, value in test.items()}
        scores |= {f"valid/{name}": value for name, value in valid.items()}
        key = {"model": model, "features": features, "seed": seed, "settings": json.dumps(settings), "seconds": seconds}
        self.results.append({**key, **scores})
