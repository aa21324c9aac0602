"""A row means the same however its table is written, whatever stands beside it."""

import csv
import io
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pyarrow import feather, parquet

from src.datamodules.tables.files import read_chunks, read_table
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.types import plain_frame

ROWS = 24
CELLS = {
    "month": ["01", "02", "12"],
    "promo": ["true", "false", ""],
    "share": ["0.50", "2.50", "10.00"],
    "start": ["07:30", "12:00", "18:45"],
    "country": ["NA", "DE", "FR"],
    "note": ["None", "a, b", 'a "quoted"; word', "é|x", ""],
    "key": ["9007199254740993", "9007199254740992", "17"],
    "price": ["1.25", "30.10", "0.07", "1234.50"],
    "gaps": ["", "3", "NA", "-7.5e2"],
    "day": ["2021-01-31", "2020-02-29", ""],
    "y": ["1", "2"],
}
COLUMNS = {"categorical": list(CELLS)[:7], "continuous": ["price", "gaps"], "dates": ["day"]}
ODD = dict.fromkeys(CELLS, "?") | {"price": "", "gaps": "NULL", "day": "9999-12-31", "promo": "maybe"}
CHOICES = {
    "target": "y",
    "task": "regression",
    "min_freq": 1,
    "continuous_scaling": "standardise",
    "clip_numbers": True,
    "target_scaling": "none",
    "date_parts": ["year", "month", "day", "is_month_end", "elapsed"],
    "date_format": None,
    "positive": None,
}
ROWS_OF_CELLS = [{name: cells[row % len(cells)] for name, cells in CELLS.items()} for row in range(ROWS)]


def written(rows, separator=",", quoting=csv.QUOTE_MINIMAL, line_end="\n", mark="", blanks=""):
    """The bytes of a CSV."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=line_end)
    writer.writerow(CELLS)
    writer.writerows([cell if '"' in cell or separator in cell else blanks + cell for cell in r.values()] for r in rows)
    return (mark + text.getvalue()).encode()


def typed(rows):
    """The table with the types that its author may have given it."""
    cells = {name: [row[name] or None for row in rows] for name in CELLS}
    return pa.table(
        {
            "month": pa.array([int(cell) for cell in cells["month"]], pa.int8()),
            "promo": pa.array([None if cell is None else cell == "true" for cell in cells["promo"]]),
            "share": pa.array([float(cell) for cell in cells["share"]], pa.float32()),
            "start": pa.array([pd.Timestamp(f"2000-01-01 {cell}").time() for cell in cells["start"]]),
            "country": pa.array(cells["country"]).dictionary_encode(),
            "note": pa.array(cells["note"], pa.large_string()),
            "key": pa.array([int(cell) for cell in cells["key"]]),
            "price": pa.array([Decimal(cell) for cell in cells["price"]]),
            "gaps": pa.array([None if cell in (None, "NA") else float(cell) for cell in cells["gaps"]]),
            "day": pa.array(pd.to_datetime(cells["day"]).tolist(), pa.timestamp("ns"), from_pandas=True),
        }
    )


@pytest.fixture(scope="module")
def processing(tmp_path_factory):
    """Fitted to the CSV, as `auto` reads it."""
    path = tmp_path_factory.mktemp("train") / "train.csv"
    path.write_bytes(written(ROWS_OF_CELLS))
    made = TableProcessing(**CHOICES, **COLUMNS)
    made.fit(read_table([path]))
    return TableProcessing.from_state(made.state)


@pytest.fixture(scope="module")
def expected(processing):
    return np.hstack(processing.encode(pd.DataFrame(ROWS_OF_CELLS)))


def inputs(processing, frames):
    return np.concatenate([np.hstack(processing.encode(frame)) for frame in frames])


usual = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ORDERS = st.permutations(range(ROWS)).map(lambda order: [ROWS_OF_CELLS[row] | {"place": row} for row in order])


def split(rows):
    places = [row["place"] for row in rows]
    return places, [{name: row[name] for name in CELLS} for row in rows]


def test_every_category_and_number_is_known(processing, expected):
    categories = expected[:, : len(processing.category_names)]
    missing_or_known = {"promo", "note", "day_year", "day_month", "day_day", "day_is_month_end"}
    low = {name: column.min() for name, column in zip(processing.category_names, categories.T, strict=True)}
    assert {name for name, code in low.items() if code < 2} == missing_or_known
    assert 1 not in categories


@usual
@given(
    rows=ORDERS,
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    blanks=st.sampled_from(["", " "]),
    chunk=st.integers(1, ROWS + 2),
    odd=st.integers(-1, ROWS),
)
def test_a_row_of_a_csv(processing, expected, tmp_path, rows, separator, quoting, line_end, mark, blanks, chunk, odd):
    places, cells = split(rows)
    if odd >= 0:
        cells.insert(odd, ODD)
    path = tmp_path / "new.csv"
    path.write_bytes(written(cells, separator, quoting, line_end, mark, blanks))
    found = inputs(processing, read_chunks(path, chunk))
    assert_array_equal(np.delete(found, odd, axis=0) if odd >= 0 else found, expected[places])


@usual
@given(rows=ORDERS, chunk=st.integers(1, ROWS + 2), suffix=st.sampled_from(["parquet", "feather"]), text=st.booleans())
def test_a_row_of_a_file_with_types(processing, expected, tmp_path, rows, chunk, suffix, text):
    places, cells = split(rows)
    table = pa.Table.from_pandas(pd.DataFrame(cells)) if text else typed(cells)
    path = tmp_path / f"new.{suffix}"
    (parquet.write_table if suffix == "parquet" else feather.write_feather)(table, path)
    assert_array_equal(inputs(processing, read_chunks(path, chunk)), expected[places])


@pytest.mark.parametrize(
    "read",
    [
        lambda content: pd.read_csv(io.BytesIO(content)),
        lambda content: pd.read_csv(io.BytesIO(content), dtype=object),
        lambda content: pd.read_csv(io.BytesIO(content), dtype="string"),
        lambda content: pd.read_csv(io.BytesIO(content), keep_default_na=False),
        lambda content: pd.read_csv(io.BytesIO(content), dtype_backend="pyarrow"),
        lambda content: pa.csv.read_csv(io.BytesIO(content)),
        lambda _: typed(ROWS_OF_CELLS),
        lambda _: typed(ROWS_OF_CELLS).to_pandas(),
        lambda _: pd.DataFrame(ROWS_OF_CELLS).astype("category"),
    ],
)
def test_a_row_of_a_table_in_memory(processing, expected, read):
    # pandas cannot tell the word None from a blank cell, unless it is told to.
    content = written([row | {"note": "None" if row["note"] == "" else row["note"]} for row in ROWS_OF_CELLS])
    found = np.hstack(processing.encode(plain_frame(read(content))))
    place = processing.category_names.index("note")
    assert_array_equal(np.delete(found, place, axis=1), np.delete(expected, place, axis=1))


def test_training_on_types_gives_the_same_inputs_for_text(tmp_path):
    parquet.write_table(typed(ROWS_OF_CELLS), tmp_path / "train.parquet")
    frame = read_table([tmp_path / "train.parquet"]).assign(y=np.arange(ROWS))
    made = TableProcessing(**CHOICES, **COLUMNS)
    made.fit(frame)
    (tmp_path / "new.csv").write_bytes(written(ROWS_OF_CELLS))
    assert_array_equal(inputs(made, read_chunks(tmp_path / "new.csv", 7)), np.hstack(made.encode(frame)))
