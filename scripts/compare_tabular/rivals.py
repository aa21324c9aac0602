"""The rivals of a net on a table: scikit-learn's models, and LightGBM's where it is installed."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from scripts.compare_tabular.features import Part, Table, as_categories, as_one_hot

Settings = dict[str, Any]
# From the name of a split to probabilities or targets in original units: (rows, outputs).
Predictor = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Rival:
    """A model that learns no embeddings.

    Attributes:
        make: (is_regression, num_native, seed, **settings) -> estimator.
        tries: the settings to choose from.
        native: its way to read unordered categories, if it has one.
        is_slow: whether it is fitted on a part of a large table.
    """

    make: Callable[..., Any]
    tries: Sequence[Settings]
    native: Callable[[Table, int], Part] | None
    is_slow: bool


def linear(is_regression: bool, num_native: int, seed: int, *, strength: float) -> Any:
    """Add up what each feature is worth; strength: of the pull towards zero."""
    return Ridge(alpha=strength) if is_regression else LogisticRegression(C=1 / strength, max_iter=500)


def knn(is_regression: bool, num_native: int, seed: int, **settings: Any) -> Any:
    """Average the nearest rows, weighted by their distance."""
    kind: Any = KNeighborsRegressor if is_regression else KNeighborsClassifier
    return kind(weights="distance", algorithm="brute", **settings)


def forest(is_regression: bool, num_native: int, seed: int, **settings: Any) -> Any:
    """Average 50 trees."""
    kind: Any = RandomForestRegressor if is_regression else RandomForestClassifier
    return kind(n_estimators=50, random_state=seed, **settings)


def boosting(is_regression: bool, num_native: int, seed: int, **settings: Any) -> Any:
    """Boost 300 trees with scikit-learn."""
    kind: Any = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    native = list(range(num_native))
    return kind(max_iter=300, early_stopping=False, random_state=seed, categorical_features=native, **settings)


def lightgbm(is_regression: bool, num_native: int, seed: int, **settings: Any) -> Any:
    """Boost 300 trees with LightGBM."""
    import lightgbm as package  # pyright: ignore[reportMissingImports]

    # n_jobs=0: as many threads as OpenMP gives all others
    kind: Any = package.LGBMRegressor if is_regression else package.LGBMClassifier
    native = ",".join(map(str, range(num_native)))  # LightGBM warns of this argument's other names
    return kind(n_estimators=300, random_state=seed, verbose=-1, n_jobs=0, cat_feature=native, **settings)


RATES_AND_LEAVES = ((0.05, 31), (0.1, 63), (0.1, 255), (0.3, 63))
RIVALS = {
    "linear": Rival(linear, [{"strength": strength} for strength in (0.1, 1, 10, 100)], as_one_hot, is_slow=True),
    "KNN": Rival(knn, [{"n_neighbors": count} for count in (5, 10, 25, 100)], as_one_hot, is_slow=True),
    "forest": Rival(
        forest,
        [{"max_features": share, "min_samples_leaf": rows} for share in (0.3, 1.0) for rows in (1, 5)],
        native=None,
        is_slow=True,
    ),
    "boosting": Rival(
        boosting,
        [{"learning_rate": rate, "max_leaf_nodes": leaves} for rate, leaves in RATES_AND_LEAVES],
        as_categories,
        is_slow=False,
    ),
}
if importlib.util.find_spec("lightgbm") is not None:
    RIVALS["LightGBM"] = Rival(
        lightgbm,
        [{"learning_rate": rate, "num_leaves": leaves} for rate, leaves in RATES_AND_LEAVES],
        as_categories,
        is_slow=False,
    )


def fit_rival(rival: Rival, settings: Settings, table: Table, parts: Sequence[Part], seed: int) -> Predictor:
    """Fit one estimator on each part; the rival predicts the mean of their predictions."""
    estimators = [rival.make(table.is_regression, part.num_native, seed, **settings) for part in parts]
    for estimator, part in zip(estimators, parts, strict=True):
        estimator.fit(part.inputs["train"], part.targets)

    def predict(split: str) -> np.ndarray:
        outputs = [_outputs(e, part.inputs[split], table) for e, part in zip(estimators, parts, strict=True)]
        return table.decoded(np.mean(outputs, axis=0))

    return predict


def _outputs(estimator: Any, inputs: np.ndarray, table: Table) -> np.ndarray:
    """Predict scaled values, or a probability for each class of the table, even if the fitted rows lack it."""
    if table.is_regression:
        return estimator.predict(inputs)[:, None]
    probabilities: Any = np.zeros((len(inputs), len(table.spec["class_names"])))
    probabilities[:, estimator.classes_] = estimator.predict_proba(inputs)
    return probabilities
