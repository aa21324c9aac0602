import pytest

from src.datamodules.csv_rows import csv_rows, joined, separator_of

LONG = "word " * 40_000  # 200,000 characters


@pytest.mark.parametrize("separator", list(",;\t|"))
def test_the_separator_is_the_most_frequent_one_of_the_header(separator):
    rows = csv_rows([f'a{separator}"b, c;|"{separator}d\n', f"1{separator}2{separator}3\n"])
    assert list(rows) == [{"a": "1", "b, c;|": "2", "d": "3"}]


def test_a_single_column_has_a_separator_too():
    assert separator_of("text\n") == ","


@pytest.mark.parametrize("cell", [LONG, f'"{LONG}"'])
def test_cells_may_be_long(cell):
    assert list(csv_rows(["id,text\n", f"1,{cell}\n"])) == [{"id": "1", "text": LONG}]


def test_nothing_has_no_columns():
    assert not csv_rows([]).fieldnames


def test_parts_are_joined_into_lines():
    assert list(joined(["a\n", "b", "c\n", "d"])) == ["a\n", "bc\n", "d"]
