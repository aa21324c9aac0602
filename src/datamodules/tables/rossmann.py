"""Rossmann: how much does a drugstore sell on a day?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from src.datamodules.cache import fingerprint_all
from src.datamodules.tables.base import TableData
from src.datamodules.tables.csv_files import SUFFIXES
from src.datamodules.tables.events import PREFIXES, days_around
from src.datamodules.tables.files import read_table

ORIGINS = {
    "train": "train.csv from https://www.kaggle.com/c/rossmann-store-sales/data",
    "store": "store.csv from https://www.kaggle.com/c/rossmann-store-sales/data",
    "store_states": (
        "store_states.csv from https://github.com/entron/entity-embedding-rossmann, "
        "or leave State out of datamodule.categorical"
    ),
}
# What the company plans or knows long before.
EVENTS: dict[str, Callable[[Any], Any]] = {
    "Promo": lambda values: values == 1,
    "StateHoliday": lambda values: values.astype(str) != "0",
    "SchoolHoliday": lambda values: values == 1,
}


class Rossmann(TableData):
    """Sales of German drugstores by store and day (Kaggle 2015), on days with sales.

    The files train.csv, store.csv and, for the column State, store_states.csv (each also .gz, .xz or .zip) are read
    from data_dir/folder. All their columns may be chosen, but Customers is not known before Sales. So may since_X and
    until_X, under continuous: the days since and until a day of X, one of EVENTS, in the same store.
    Source of the columns that conf chooses: Guo and Berkhahn 2016, arXiv:1604.06737, section 4.
    """

    set_name = "rossmann"

    def __init__(self, *, data_dir: str, folder: str, **table_data: Any) -> None:
        super().__init__(**table_data)
        self.folder = Path(data_dir, folder)

    def _paths(self) -> dict[str, Path]:
        names = list(ORIGINS) if "State" in self.columns["categorical"] else ["train", "store"]
        return {name: self._path(name) for name in names}

    def _path(self, name: str) -> Path:
        for suffix in SUFFIXES:
            if (self.folder / f"{name}{suffix}").is_file():
                return self.folder / f"{name}{suffix}"
        raise FileNotFoundError(f"{self.folder} lacks {name}.csv; put it there: {ORIGINS[name]}")

    def fingerprint(self) -> str:
        return fingerprint_all(self._paths().values())

    def frames(self) -> dict[str, pd.DataFrame]:
        days, *stores = (read_table([path]) for path in self._paths().values())
        events = {name: is_event(days[name]) for name, is_event in EVENTS.items() if self._is_asked_for(name)}
        days = days.join(days_around(events, pd.to_datetime(days["Date"]), pd.Series(days["Store"])))
        days = days.loc[(days["Open"] != 0) & (days["Sales"] > 0)]
        for store in stores:
            days = days.merge(store, how="left", on="Store", validate="many_to_one")
        return {"train": days}

    def _is_asked_for(self, event: str) -> bool:
        return any(f"{prefix}{event}" in names for prefix in PREFIXES for names in self.columns.values())
