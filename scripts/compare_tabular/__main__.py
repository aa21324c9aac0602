"""What a net's embeddings do for models that are no nets, on the table of any experiment.

    python -m scripts.compare_tabular experiment=flights [key=value ...] [--seeds 3] [--in-fold] [--max-rows 50000]
        [--models KNN forest ...] [--out runs/compare_tabular]

KNN, random forest, gradient boosting (scikit-learn's; LightGBM's with `pip install --no-deps lightgbm==4.7.0`) and the
experiment's net, on its split, each tuned by four tries on the validation rows. They read the categories as

    codes       numbers in the order of the categories (as numbers where they are, else as text), standardised
    native      unordered: one-hot for KNN, sets for boosting; beyond 255 in a column, the rarest are one
    targets     the mean target of each category, cross-fitted (scikit-learn's TargetEncoder)
    embeddings  the vectors that the net has learned; the net learns them as it trains

with the continuous columns beside. The first two are "without embeddings"; the third asks for less than a net.

A net has learned its vectors by the targets of its training rows: on those very rows they tell of the targets more than
they do elsewhere, and where categories are rare a rival that is fitted on them overfits. So one net learns on one half
of the training rows and another net on the other half; a rival is fitted on each half with the vectors of the net that
has not seen it, and the two rivals' predictions are averaged. (The two nets' vectors are not to be mixed in one rival:
their axes have nothing in common.) The price: each net and rival sees half of the rows, where all others see all.
--in-fold is the paper's way: one net, one rival, all rows for both.

KNN and forest are fitted on --max-rows rows at most. Means over the seeds, and standard deviations; a seed changes all
but the split, which the experiment's seed decides. Settings are chosen with the first seed. --out receives
comparison.csv (each model, features and seed) and comparison.png. The last line is one JSON object.

Source: Guo and Berkhahn 2016, arXiv:1604.06737, table 3.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from scripts.compare_tabular.features import Part, Table, as_codes, as_target_means, as_vectors
from scripts.compare_tabular.report import FEATURES, as_markdown, draw, summary
from scripts.compare_tabular.rivals import RIVALS, Predictor, Settings, fit_rival
from src.core.check import check, composed
from src.core.explain import readable_errors
from src.datamodules.loader import BatchLoader
from src.datamodules.tables.encoded import TableRows, edges_of_bins
from src.predict.tables import predict_values

# Factors to the experiment's settings.
NET_TRIES: list[Settings] = [
    {"model.lr": rate, "trainer.max_epochs": epochs} for rate in (1.0, 0.3) for epochs in (1.0, 0.5)
]


def read_table(cfg: DictConfig) -> Table:
    """The rows of the experiment's table; raises ValueError if it has no categories or more than one target."""
    datamodule = instantiate(cfg.datamodule, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    if len(datamodule.target) > 1:
        raise ValueError(f"the comparison takes one target, got {datamodule.target}; choose one by datamodule.target")
    splits = {
        split: TableRows(c.long(), numbers, targets) for split, (c, numbers, targets) in datamodule.splits.items()
    }
    if not datamodule.spec["category_sizes"]:
        raise ValueError("the comparison is of ways to read categories: name columns by datamodule.categorical")
    return Table(datamodule.spec, splits)


def train_net(cfg: DictConfig, spec: dict[str, Any], rows: TableRows, factors: Settings, seed: int) -> Any:
    """The experiment's model after its last epoch on some rows; no score of other rows has a say in it."""
    cfg = copy.deepcopy(cfg)
    for key, factor in factors.items():
        value = OmegaConf.select(cfg, key)
        OmegaConf.update(cfg, key, max(1, round(value * factor)) if isinstance(value, int) else value * factor)
    pl.seed_everything(seed, verbose=False)
    model = instantiate(cfg.model, _convert_="all")
    model.hparams["spec"] = spec
    trainer = instantiate(cfg.trainer, _convert_="all", logger=False, enable_checkpointing=False, limit_val_batches=0)
    size = cfg.datamodule.batch_size
    loader = BatchLoader(*rows, batch_size=size, shuffle=True, seed=seed, drop_last=len(rows.targets) > size)
    trainer.fit(model, loader, loader)  # the second one is not read: without it, Lightning would warn of that
    return model.eval()


def as_numbers(table: Table, part: Part) -> Table:
    """The table of a net without embeddings: a part's features as continuous columns."""
    bins = [edges_of_bins(column) for column in part.inputs["train"].T]
    spec = {**table.spec, "category_sizes": [], "num_continuous": len(bins), "continuous_bins": bins}
    splits = {
        split: TableRows(rows.categories[:, :0], torch.from_numpy(part.inputs[split]), rows.targets)
        for split, rows in table.splits.items()
    }
    return Table(spec, splits)


class Comparison:
    """The results of each model with each kind of features; the first seed chooses the settings of all others."""

    def __init__(self, cfg: DictConfig, table: Table, *, models: Sequence[str], in_fold: bool, max_rows: int) -> None:
        self.cfg = cfg
        self.table = table
        self.models = models
        self.in_fold = in_fold
        self.max_rows = max_rows
        self.chosen: dict[tuple[str, str], Settings] = {}
        self.results: list[dict[str, Any]] = []

    def run(self, seed: int) -> None:
        """Each model once, or once for each try in the first run."""
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
        """Each half of the training rows with the vectors of the other half's net; in-fold, all with one net's."""
        rows = self.table.splits["train"]
        halves = np.array_split(np.random.default_rng(seed).permutation(len(rows.targets)), 2)
        everything = np.arange(len(rows.targets))
        parts = []
        for learned_on, fitted_on in [(everything, everything)] if self.in_fold else [halves, halves[::-1]]:
            some = TableRows(*(tensor[learned_on] for tensor in rows))
            model = train_net(self.cfg, self.table.spec, some, self.chosen["net", "embeddings"], seed)
            parts.append(as_vectors(self.table, model.net.embedding, fitted_on))
        return parts

    def _best_of(
        self, model: str, features: str, seed: int, tries: Sequence[Settings], fit: Callable[[Settings], Predictor]
    ) -> None:
        """Keep the test scores of the try whose validation score is best."""
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
        print(f"{model}, {features}, seed {seed}: test/{score} {test[score]:.4g} in {seconds:.0f} s", flush=True)
        scores = {f"test/{name}": value for name, value in test.items()}
        scores |= {f"valid/{name}": value for name, value in valid.items()}
        key = {"model": model, "features": features, "seed": seed, "settings": json.dumps(settings), "seconds": seconds}
        self.results.append({**key, **scores})


def compare(cfg: DictConfig, *, models: Sequence[str], seeds: int, in_fold: bool, max_rows: int, out: Path) -> None:
    """Read the table, run all models, write and print what came of it."""
    started = time.perf_counter()
    table = read_table(cfg)
    comparison = Comparison(cfg, table, models=models, in_fold=in_fold, max_rows=max_rows)
    results = comparison.results
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        comparison.run(seed)
        pd.DataFrame(results).to_csv(out / "comparison.csv", index=False)
    cells = summary(results, table.score)
    draw(cells, results, table.score).savefig(out / "comparison.png")
    print("", as_markdown(cells, table.score, seeds), "", sep="\n")
    where = "learned on the rows they are used on" if in_fold else "out of fold: each net and rival on half of the rows"
    print(f"embeddings: {where}")
    slow = [name for name in models if RIVALS[name].is_slow]
    if slow and len(table.targets("train")) > max_rows:
        print(f"{' and '.join(slow)}: on {max_rows:,} of {len(table.targets('train')):,} training rows")
    means = {model: {features: round(mean, 5) for features, (mean, _) in row.items()} for model, row in cells.items()}
    print(json.dumps({"score": table.score, **means, "seeds": seeds, "seconds": round(time.perf_counter() - started)}))


def main(arguments: list[str]) -> None:
    """Compose the experiment and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="experiment=NAME and key=value, as for train.py")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--in-fold", action="store_true", help="vectors learned on the rows that rivals are fitted on")
    parser.add_argument("--max-rows", type=int, default=50_000, help="that KNN and forest are fitted on")
    parser.add_argument("--models", nargs="+", choices=RIVALS, default=list(RIVALS), help="beside the net")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_tabular"), help="for the CSV and the picture")
    args = parser.parse_intermixed_args(arguments)
    with readable_errors("train"):
        cfg = composed([*args.overrides, f"run_dir={args.out}", "logger=none", "callbacks=none"])
        check(cfg)
        choices = {name: getattr(args, name) for name in ("models", "seeds", "in_fold", "max_rows", "out")}
        compare(cfg, **choices)


if __name__ == "__main__":
    main(sys.argv[1:])
