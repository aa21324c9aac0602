"""How long ago an event was, and how soon the next one comes: fast.ai's add_elapsed_times."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

PREFIXES = ("since_", "until_")


def days_around(events: Mapping[str, pd.Series], dates: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Return for each row the days since the last event of its group, and until its next one.

    Days count from the date of the event: 0 on it, and missing before the first or after the last one. What is still to
    come is an honest input only of events that are planned, such as holidays.

    Args:
        events: for each name, whether a row is one, bool (rows,).
        dates: of the rows, datetime64 (rows,); the rows may be in any order.
        groups: rows of different groups, such as stores, know nothing of one another.

    Returns:
        Columns since_NAME and until_NAME, float64, in the order of the rows.
    """
    days: Any = pd.DataFrame({"group": groups.to_numpy(), "date": dates.to_numpy()})
    found = {}
    for name, happens in events.items():
        events_of_days = days.assign(event=days["date"].where(np.asarray(happens, bool)))
        nearest = events_of_days.groupby(["group", "date"])["event"].max().groupby("group")  # a line for each day
        for prefix, sign, filled in (("since_", 1, nearest.ffill()), ("until_", -1, nearest.bfill())):
            event = days.join(filled.rename("event"), on=["group", "date"])["event"]
            found[f"{prefix}{name}"] = (sign * (days["date"] - event) / pd.Timedelta(days=1)).to_numpy()
    return pd.DataFrame(found, index=dates.index)
