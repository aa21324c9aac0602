import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.events import days_around


def by_hand(events, dates, groups, sign):
    """The days to the nearest event before (sign 1) or after (sign -1), row by row."""
    found = []
    for date, group in zip(dates, groups, strict=True):
        gaps = [
            sign * (date - other).days
            for other, its_group, happens in zip(dates, groups, events, strict=True)
            if happens and its_group == group and sign * (date - other).days >= 0
        ]
        found.append(min(gaps, default=np.nan))
    return found


def test_the_days_are_those_counted_row_by_row():
    random = np.random.default_rng(0)
    dates = pd.Series(pd.Timestamp("2020-02-20") + pd.to_timedelta(random.integers(0, 40, 150), "D"))
    groups = pd.Series(random.choice(list("abc"), 150))
    events = {"promo": pd.Series(random.random(150) < 0.1), "none": pd.Series(np.zeros(150, bool))}
    found = days_around(events, dates, groups)
    assert list(found) == ["since_promo", "until_promo", "since_none", "until_none"]
    for name, happens in events.items():
        for prefix, sign in (("since_", 1), ("until_", -1)):
            np.testing.assert_array_equal(found[f"{prefix}{name}"], by_hand(happens, dates, groups, sign))


def test_rows_keep_their_order_and_their_index():
    dates = pd.Series(pd.to_datetime(["2021-03-05", "2021-03-01", "2021-03-03"]), index=[7, 3, 9])
    events = {"x": pd.Series([False, True, False], index=[7, 3, 9])}
    found = days_around(events, dates, pd.Series(["a"] * 3, index=[7, 3, 9]))
    assert found["since_x"].to_dict() == {7: 4.0, 3: 0.0, 9: 2.0}
    assert found["until_x"].loc[3] == 0
    assert found["until_x"].loc[[7, 9]].isna().all()


@pytest.mark.parametrize("count", [0, 1])
def test_no_events_give_no_columns(count):
    dates = pd.Series(pd.to_datetime(["2021-03-05"] * count))
    assert days_around({}, dates, pd.Series(["a"] * count)).shape == (count, 0)
