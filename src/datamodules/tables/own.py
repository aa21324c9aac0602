"""A table in your own files."""

from pathlib import Path
from typing import Any

import pandas as pd

from src.datamodules.cache import fingerprint_all
from src.datamodules.tables.base import TableData
from src.datamodules.tables.files import find_tables, read_table


class Table(TableData):
    """CSV (plain, .gz, .xz or .zip), Parquet or Feather files; several files of a split are one table.

    Args:
        data_dir: names and patterns are below it, unless they are whole paths.
        train_files: names or patterns (`sales/*.csv`). Files that other splits name are left out.
        valid_files: None takes the validation rows from `train_files`.
        test_files: None takes the test rows from `train_files`.
    """

    def __init__(
        self,
        *,
        data_dir: str,
        train_files: str | list[str],
        valid_files: str | list[str] | None,
        test_files: str | list[str] | None,
        **table_data: Any,
    ) -> None:
        super().__init__(**table_data)
        self.data_dir = data_dir
        files = {"train": train_files, "valid": valid_files, "test": test_files}
        if self.splitting.kind == "column" and (valid_files or test_files):
            raise ValueError(
                "datamodule.split=column and valid_files or test_files both name held-out rows: choose one"
            )
        self.files = {name: [f] if isinstance(f, str) else f for name, f in files.items() if f is not None}
        self.set_name = Path(self.files["train"][0]).name.split(".")[0].strip("*") or "table"

    def _paths(self) -> dict[str, list[Path]]:
        found = {name: find_tables(Path(self.data_dir, f) for f in files) for name, files in self.files.items()}
        held_out = {path for name, paths in found.items() if name != "train" for path in paths}
        return found | {"train": [path for path in found["train"] if path not in held_out]}

    def fingerprint(self) -> str:
        return "\0\0".join(f"{name}\0{fingerprint_all(paths)}" for name, paths in self._paths().items())

    def frames(self) -> dict[str, pd.DataFrame]:
        paths = self._paths()
        date_format = self.choices["date_format"]
        train = read_table(paths.pop("train"), date_format=date_format)
        text = [str(name) for name, values in train.items() if pd.api.types.is_string_dtype(values)]
        others = {name: read_table(files, text, date_format=date_format) for name, files in paths.items()}
        return {"train": train, **others}
