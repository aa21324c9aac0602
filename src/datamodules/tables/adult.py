"""Adult: does a person earn more than 50,000 dollars a year?"""

from pathlib import Path
from typing import Any

import pandas as pd

from src.datamodules.cache import fingerprint_all
from src.datamodules.download import fetch
from src.datamodules.tables.base import TableData

ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
CHECKSUMS = {"adult.data": "5d7c39d7b8804f071cdd1f2a7c460872", "adult.test": "35238206dfdf7f1fe215bbb874adecdc"}
COLUMNS = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]


class Adult(TableData):
    """The US census of 1994, 32,561 rows and 16,281 to test on (UCI, Becker and Kohavi 1996, CC BY 4.0).

    The files adult.data and adult.test are read from data_dir/adult, and fetched if they are missing. Validation rows
    are taken from adult.data.
    """

    set_name = "adult"

    def __init__(self, *, data_dir: str, **table_data: Any) -> None:
        super().__init__(**table_data)
        self.folder = Path(data_dir, "adult")

    def prepare_data(self) -> None:
        fetch(self.folder, {name: (ADDRESS + name, md5) for name, md5 in CHECKSUMS.items()})
        super().prepare_data()

    def fingerprint(self) -> str:
        return fingerprint_all(self.folder / name for name in CHECKSUMS)

    def frames(self) -> dict[str, pd.DataFrame]:
        return {"train": _read(self.folder / "adult.data"), "test": _read(self.folder / "adult.test")}


def _read(path: Path) -> pd.DataFrame:
    """Read a file without a header: ", " separates values, "?" is missing; adult.test has a comment and final dots."""
    frame = pd.read_csv(path, names=COLUMNS, skipinitialspace=True, na_values="?", comment="|")
    return frame.assign(income=frame["income"].str.rstrip("."))
