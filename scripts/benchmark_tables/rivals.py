"""The rivals of the net: gradient boosting at its defaults, and LightGBM tuned by a few tries."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.benchmark_tables import fastai_net
from scripts.benchmark_tables.suite import Fitted, SuiteTable, categories_of, divide_train, score

MAX_LEVELS = 254  # of a category: HistGradientBoosting takes no more
DATE_PARTS = ("year", "month", "day", "day_of_week", "day_of_year")
# (table, inputs, targets, seed) -> a function from inputs to probabilities or values
Rival = Callable[[SuiteTable, pd.DataFrame, pd.Series, int], Fitted]


def as_inputs(train: pd.DataFrame, test: pd.DataFrame, date_format: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn text into categories, of the most frequent in training, and dates into numbers; the rest stays as it is."""
    pairs = [_as_input(train[name], test[name], date_format) for name in map(str, train)]
    return pd.concat([pair[0] for pair in pairs], axis=1), pd.concat([pair[1] for pair in pairs], axis=1)


def _as_input(train: Any, test: Any, date_format: str | None) -> tuple[Any, Any]:
    if pd.api.types.is_numeric_dtype(train):
        return train, test
    dates = [_dates(values, date_format) for values in (train, test)]
    if all(values is not None for values in dates):
        return _date_parts(dates[0]), _date_parts(dates[1])
    levels = train.dropna().astype(str).value_counts().index[:MAX_LEVELS]
    return _categories(train, levels), _categories(test, levels)


def _categories(values: pd.Series, levels: pd.Index) -> pd.Series:
    text = values.astype(str)
    return text.where(text.isin(levels)).astype(pd.CategoricalDtype(levels))


def _dates(values: pd.Series, date_format: str | None) -> pd.Series | None:
    try:
        return pd.to_datetime(values, format=date_format or "ISO8601")
    except ValueError:
        return None


def _date_parts(dates: Any) -> pd.DataFrame:
    """The days since 1970, and what the calendar says."""
    parts = {part: getattr(dates.dt, part) for part in DATE_PARTS}
    days = (dates - pd.Timestamp("1970-01-01")).dt.days
    return pd.DataFrame({"days": days, **parts}).add_prefix(f"{dates.name}_")


def estimate(kinds: tuple[str, str, str], settings: dict[str, Any], table: SuiteTable, seed: int) -> Any:
    """Make an estimator: (module, name for classes, name for regression)."""
    module, classifier, regressor = kinds
    kind = getattr(importlib.import_module(module), regressor if table.task == "regression" else classifier)
    return kind(random_state=seed, **settings)


def fitted(estimator: Any, table: SuiteTable, inputs: pd.DataFrame, targets: pd.Series, **how: Any) -> Fitted:
    """Fit an estimator of scikit-learn's kind."""
    estimator.fit(inputs, targets, **how)
    return estimator.predict if table.task == "regression" else estimator.predict_proba


def at_defaults(kinds: tuple[str, str, str], **settings: Any) -> Rival:
    """A rival that is fitted once, with the settings of its authors."""

    def fit(table: SuiteTable, inputs: pd.DataFrame, targets: pd.Series, seed: int) -> Fitted:
        return fitted(estimate(kinds, settings, table, seed), table, inputs, targets)

    return fit


def catboost(table: SuiteTable, inputs: pd.DataFrame, targets: pd.Series, seed: int) -> Fitted:
    """CatBoost at its defaults; it wants categories as text."""
    categories = categories_of(inputs)

    def as_text(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(**{name: rows[name].astype(object).fillna("missing").astype(str) for name in categories})

    settings = {"verbose": 0, "thread_count": 1, "allow_writing_files": False}
    estimator = estimate(("catboost", "CatBoostClassifier", "CatBoostRegressor"), settings, table, seed)
    predict = fitted(estimator, table, as_text(inputs), targets, cat_features=categories)
    return lambda rows: predict(as_text(rows))


def lightgbm_tries(seed: int, number: int) -> Iterator[dict[str, Any]]:
    """Draw settings from the ranges that tuning guides name; the first ones are the defaults."""
    random = np.random.default_rng(seed)
    yield {}
    for _ in range(number - 1):
        yield {
            "learning_rate": float(10 ** random.uniform(-2, -0.7)),
            "num_leaves": int(2 ** random.uniform(3, 8)),
            "min_child_samples": int(10 ** random.uniform(0.5, 2)),
            "colsample_bytree": float(random.uniform(0.4, 1)),
            "subsample": float(random.uniform(0.5, 1)),
            "subsample_freq": 1,
            "reg_lambda": float(10 ** random.uniform(-3, 1)),
        }


def tuned_lightgbm(
    table: SuiteTable, inputs: pd.DataFrame, targets: pd.Series, seed: int, *, tries: int = 20, trees: int = 3000
) -> Fitted:
    """LightGBM with the best of some settings by a tenth of the rows, which also stops the growth of each."""
    import lightgbm as package  # pyright: ignore[reportMissingImports]

    parts = divide_train(table, targets, seed)
    (train, valid), (train_targets, valid_targets) = ([rows.iloc[part] for part in parts] for rows in (inputs, targets))
    best, best_loss = None, np.inf
    for settings in lightgbm_tries(seed, tries):
        fixed = {"n_estimators": trees, "verbose": -1, "n_jobs": 1}
        estimator = estimate(LIGHTGBM, {**settings, **fixed}, table, seed)
        stop = package.early_stopping(50, verbose=False)
        estimator.fit(train, train_targets, eval_X=valid, eval_y=valid_targets, callbacks=[stop])
        (losses,) = estimator.best_score_.values()
        if (loss := next(iter(losses.values()))) < best_loss:
            best, best_loss = estimator, loss
    assert best is not None
    return best.predict if table.task == "regression" else best.predict_proba


LIGHTGBM = ("lightgbm", "LGBMClassifier", "LGBMRegressor")
XGBOOST = ("xgboost", "XGBClassifier", "XGBRegressor")
BOOSTING = ("sklearn.ensemble", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
# By name, the package that it needs and what fits it.
RIVALS: dict[str, tuple[str, Rival]] = {
    "HistGradientBoosting": ("sklearn", at_defaults(BOOSTING, categorical_features="from_dtype")),
    "LightGBM": ("lightgbm", at_defaults(LIGHTGBM, verbose=-1, n_jobs=1)),
    "XGBoost": ("xgboost", at_defaults(XGBOOST, enable_categorical=True, n_jobs=1)),
    "CatBoost": ("catboost", catboost),
    "fast.ai": ("fastai", fastai_net.fit),
    "LightGBM, tuned": ("lightgbm", tuned_lightgbm),
}


def installed() -> list[str]:
    """The rivals whose package is there."""
    return [name for name, (package, _) in RIVALS.items() if importlib.util.find_spec(package) is not None]


def measure(name: str, table: SuiteTable, folder: Path, seed: int) -> dict[str, float]:
    """Fit a rival to folder/train.csv; returns the score on folder/test.csv and the CPU seconds of the fit."""
    train, test = (pd.read_csv(folder / f"{split}.csv") for split in ("train", "test"))
    targets, truth = train.pop(table.target), test.pop(table.target)
    inputs, rows = as_inputs(train, test, table.date_format)
    if table.task != "regression":
        targets = pd.Series(pd.Categorical(targets, sorted(targets.unique())).codes)
    start = time.process_time()
    predict = RIVALS[name][1](table, inputs, targets, seed)
    seconds = time.process_time() - start
    return {"score": score(table, truth, predict(rows)), "seconds": seconds}
