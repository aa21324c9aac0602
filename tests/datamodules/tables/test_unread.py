import numpy as np
import pandas as pd

from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.unread import Unread, note_readings, warn_of_lost_words

CHOICES = {
    "target": "y",
    "task": "regression",
    "categorical": ["shop", "rare"],
    "continuous": ["size", "gaps"],
    "dates": ["day"],
    "min_freq": 2,
    "continuous_scaling": "standardise",
    "clip_numbers": True,
    "target_scaling": "none",
    "date_parts": ["month", "elapsed"],
    "date_format": None,
    "positive": None,
}
FRAME = pd.DataFrame(
    {
        "shop": ["a", "b", "a", "b"],
        "rare": ["v", "w", "x", "x"],  # half of them unknown
        "size": [1.0, 2.0, 3.0, 4.0],
        "gaps": [np.nan, np.nan, np.nan, 1.0],
        "day": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-01-02", "2020-02-05"]),
        "y": [1.0, 2.0, 3.0, 4.0],
    }
)


def told(capsys, frame, forget=(), **choices):
    processing = TableProcessing(**(CHOICES | choices))
    processing.fit(FRAME)
    for name in forget:
        processing.fitted.pop(name)
    for fitted in processing.fitted["continuous"].values() if forget else ():
        fitted.pop("missing_share")
    unread = Unread(processing)
    for rows in (frame[:3], frame[3:]):
        unread.count(rows, processing.outside(rows)[1])
    unread.tell(len(frame))
    return capsys.readouterr().err.splitlines()


def test_rows_like_those_of_training_are_read(capsys):
    assert told(capsys, FRAME) == []


def test_a_column_that_is_mostly_unknown_is_named_with_an_example(capsys):
    (line,) = told(capsys, FRAME.assign(shop=["A", "A", "a", "B"]))
    assert line == (
        "warning: shop is unknown in 3 of 4 rows, such as 'A'; in training it was in 0.0%: "
        "is it spelled as it was there?"
    )


def test_half_of_the_rows_are_not_most(capsys):
    assert told(capsys, FRAME.assign(shop=["A", "A", "a", "b"])) == []


def test_a_column_that_is_mostly_missing_is_named(capsys):
    lines = told(capsys, FRAME.assign(shop=None, size=np.nan, gaps=np.nan, day=pd.NaT))
    assert [line.split(" in ")[0] for line in lines] == [
        f"warning: {name} is missing" for name in ("size", "day_elapsed", "shop", "day_month")
    ]


def test_an_older_checkpoint_does_not_know_what_was_missing_in_training(capsys):
    assert told(capsys, FRAME.assign(shop="A", size=np.nan), forget=["category_shares", "constant_codes"]) == []


def test_words_that_look_missing_and_zones_are_told_in_training(capsys):
    frame = FRAME.assign(shop=["NA", "a", "NA", None], day=FRAME["day"].dt.tz_localize("Europe/Berlin"))
    processing = TableProcessing(**CHOICES)
    processing.fit(frame)
    note_readings(frame, processing)
    assert capsys.readouterr().err.splitlines() == [
        "note: shop has the word NA: a category, as always in text; a blank cell is missing",
        "note: the times of day have a zone: what the clock shows there counts",
    ]


def test_nothing_is_told_of_plain_cells(capsys):
    processing = TableProcessing(**CHOICES)
    processing.fit(FRAME)
    note_readings(FRAME, processing)
    assert capsys.readouterr().err == ""


def test_words_that_pandas_may_have_dropped_are_told(capsys):
    frame = FRAME.assign(shop=["NA", "a", "NA", None])
    processing = TableProcessing(**CHOICES)
    processing.fit(frame)
    warn_of_lost_words(frame, processing)
    assert capsys.readouterr().err == ""
    warn_of_lost_words(frame.replace("NA", None), processing)
    assert "shop has missing cells and never the word NA, which it had" in capsys.readouterr().err
