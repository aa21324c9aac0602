"""The tables of the suite, and how each is divided into a file to learn from and one to test on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

from src.core.check import composed
from src.core.errors import ConfigError
from src.datamodules.tables.csv_files import SUFFIXES

TEST_SHARE = 0.2
Fitted = Callable[[pd.DataFrame], np.ndarray]  # from inputs to probabilities or values
MIN_ROWS = 50  # of a class: rarer ones may be missing among the test rows, which have no AUROC then


@dataclass(frozen=True, kw_only=True)
class SuiteTable:
    """A table and what is asked of it.

    Attributes:
        target: the column to predict.
        task: as `datamodule.task`.
        left_out: columns that give the target away, or that no model here reads (free text).
        date_format: of its dates; None: as 2013-01-31.
        experiment: the experiment whose rows these are; None: DATA_DIR/tables/NAME.csv has them.
    """

    target: str
    task: Literal["binary", "multiclass", "regression"]
    left_out: tuple[str, ...] = ()
    date_format: str | None = None
    experiment: str | None = None

    @property
    def score(self) -> str:
        """What models are compared by: `auroc` (the mean over the classes, each against the others) or `rmse`."""
        return "rmse" if self.task == "regression" else "auroc"


# All known of a loan after it was given, or computed from its rate.
LOAN = ("grade", "sub_grade", "installment", "balance", "paid_total", "paid_principal", "paid_interest")
SUITE = {
    "diamonds": SuiteTable(target="price", task="regression"),
    "ames": SuiteTable(target="Sale_Price", task="regression"),
    "credit_data": SuiteTable(target="Status", task="binary"),
    "loans_full_schema": SuiteTable(target="interest_rate", task="regression", left_out=LOAN),
    "gss_wages": SuiteTable(target="realrinc", task="regression"),
    "wa_churn": SuiteTable(target="churn", task="binary"),
    "mlc_churn": SuiteTable(target="churn", task="binary"),
    "hotel_rates": SuiteTable(target="avg_price_per_room", task="regression"),
    "birds": SuiteTable(
        target="phase_of_flt", task="multiclass", left_out=("remarks",), date_format="%m/%d/%Y %H:%M:%S"
    ),
    "rossmann": SuiteTable(target="Sales", task="regression", left_out=("Customers", "Open"), experiment="rossmann"),
    "adult": SuiteTable(target="income", task="binary", experiment="adult"),
    "flights": SuiteTable(target="late", task="binary", experiment="flights"),
}


def read(name: str, data_dir: str) -> pd.DataFrame:
    """Return the rows of a table that have a target, without the columns that are left out.

    Raises ConfigError if its file is missing.
    """
    table = SUITE[name]
    frame = _frame(name, data_dir)
    frame = frame.drop(columns=[*table.left_out, "rownames"], errors="ignore")
    frame = frame.loc[frame[table.target].notna()]
    if table.task == "multiclass":
        frame = frame.loc[frame.groupby(table.target)[table.target].transform("size") >= MIN_ROWS]
    return frame.reset_index(drop=True)


def _frame(name: str, data_dir: str) -> pd.DataFrame:
    if SUITE[name].experiment is not None:
        cfg = composed([f"experiment={SUITE[name].experiment}", f"data_dir={data_dir}", "run_dir=."])
        data = instantiate(cfg.datamodule, _convert_="all")
        return pd.concat(data.frames().values(), ignore_index=True)
    paths = [Path(data_dir, "tables", f"{name}{suffix}") for suffix in SUFFIXES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(
            f"there is no {paths[0]} (also .gz, .xz or .zip): get it from the Rdatasets collection "
            "(vincentarelbundock.github.io/Rdatasets), or choose other tables by --tables"
        )
    return pd.read_csv(path)


def write_split(name: str, data_dir: str, seed: int, folder: Path) -> None:
    """Write folder/train.csv and folder/test.csv; a seed draws the same fifth of the rows to test on every time."""
    frame = read(name, data_dir)
    order = np.random.default_rng(seed).permutation(len(frame))
    num_test = round(TEST_SHARE * len(frame))
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("test", order[:num_test]), ("train", order[num_test:])):
        frame.iloc[rows].to_csv(folder / f"{split}.csv", index=False)


def categories_of(inputs: pd.DataFrame) -> list[str]:
    """The columns of a rival's inputs that are categories."""
    return [str(name) for name, values in inputs.items() if isinstance(values.dtype, pd.CategoricalDtype)]


def divide_train(table: SuiteTable, targets: pd.Series, seed: int) -> tuple[list[int], list[int]]:
    """Draw a tenth of the training rows to validate on; returns the positions of the others and of these."""
    same_shares = None if table.task == "regression" else targets
    train, valid = train_test_split(range(len(targets)), test_size=0.1, random_state=seed, stratify=same_shares)
    return list(train), list(valid)


def score(table: SuiteTable, truth: pd.Series, answers: np.ndarray) -> float:
    """Return scikit-learn's RMSE of values, or AUROC of probabilities, of more than two classes the plain mean.

    Args:
        table: what was asked.
        truth: the targets, (rows,).
        answers: values, (rows,) or (rows, 1), or the probabilities of all classes in their sorted order.
    """
    if table.task == "regression":
        return float(root_mean_squared_error(truth, answers.reshape(len(truth))))
    classes = sorted(truth.unique())
    if table.task == "binary":
        return float(roc_auc_score(truth == classes[1], answers[:, 1]))
    return float(roc_auc_score(truth, answers, multi_class="ovr", labels=classes))
