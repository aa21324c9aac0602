"""scikit-learn's diabetes: the table that needs no file."""

from typing import Any

import pandas as pd

from src.datamodules.tables.base import TableData


class Diabetes(TableData):
    """442 patients: how far their diabetes progressed in a year, 25 to 346, from age, sex and eight measurements.

    All values are in their real units (Efron et al. 2004; part of scikit-learn).
    """

    set_name = "diabetes"

    def fingerprint(self) -> str:
        return "442 rows"

    def frames(self) -> dict[str, pd.DataFrame]:
        from sklearn.datasets import load_diabetes

        patients: Any = load_diabetes(as_frame=True, scaled=False)
        return {"train": patients.frame.rename(columns={"target": "progression"})}
