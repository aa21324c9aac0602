import re

import pytest

from src.core.spreadsheets import FORMULA, TextCells, as_text


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@a", "\t=1", "\r=1", "\n=1", "'=1", "''-a"])
def test_what_could_be_a_formula_gets_a_quote_and_can_be_read_back(cell):
    assert as_text(cell) == f"'{cell}"
    assert re.sub(f"^'(?={FORMULA[1:]})", "", str(as_text(cell))) == cell


@pytest.mark.parametrize("cell", ["", "a=1", "-5", "+3.2e-4", "-.5", "'tis", " =1", -5, 0.25, None])
def test_numbers_and_other_text_stay(cell):
    assert as_text(cell) == cell


def test_changed_cells_are_counted_and_told_once(capsys):
    cells = TextCells()
    assert [cells.row(["=1", 3, "a"]), cells.row(["-a", "@b", "-1"])] == [["'=1", 3, "a"], ["'-a", "'@b", "-1"]]
    cells.tell("a.csv")
    assert capsys.readouterr().err.startswith("note: 3 cells of a.csv begin with = + - or @ and got a ' in front")


def test_nothing_is_told_if_nothing_changed(capsys):
    TextCells().tell("a.csv")
    assert capsys.readouterr().err == ""
