import numpy as np
import pytest
from markupsafe import Markup

from src.report.wording import (
    cell,
    duration,
    few_digits,
    is_number,
    metric_label,
    metric_title,
    paragraphs,
    shortened,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (np.float32(2), "2.000"),
        (999.96, "1000."),
        (1000.5, "1,000"),
        (-1234.5, "-1,234"),
        (12345, "12,345"),
        (np.int64(7), "7"),
        (None, ""),
        (True, True),
        ("x", "x"),
    ],
)
def test_a_cell_shows_four_digits_of_a_number(value, text):
    assert cell(value) == text


def test_true_is_not_a_number():
    assert [is_number(value) for value in (1, 0.5, np.float32(1), True, "1", None)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("macro_f1", "Macro F1"),
        ("auroc", "AUROC"),
        ("top5_accuracy", "Top-5 accuracy"),
        ("samples_per_second", "Samples per second"),
    ],
)
def test_a_metric_s_title_has_spaces_and_the_usual_capitals(name, title):
    assert metric_title(name) == title


def test_a_metric_s_label_names_its_split():
    assert [metric_label(name) for name in ("val/r2", "test/loss")] == ["R2, validation", "Loss, test"]


@pytest.mark.parametrize(
    ("number", "text"), [(0.0123, "0.012"), (0.1, "0.10"), (9.96, "10."), (10.4, "10"), (0, "0"), (-0.04, "-0")]
)
def test_a_difference_has_two_digits(number, text):
    assert few_digits(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (9.94, "9.9 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (192.4, "3 min 12 s"),
        (3599.6, "1 h 0 min"),
        (7260.4, "2 h 1 min"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert duration(seconds) == text


def test_a_long_text_is_cut_and_stands_on_one_line():
    assert shortened("two\n lines", 9) == "two lines"
    assert shortened("ten letters", 10) == "ten lette\N{HORIZONTAL ELLIPSIS}"
    assert len(shortened("x" * 31)) == 30


def test_empty_lines_divide_paragraphs_of_plain_text():
    assert paragraphs(" one\nstill one\n\n\n\ntwo ") == ["one\nstill one", "two"]
    assert paragraphs(Markup("<p>\n\n</p>")) == ["<p>\n\n</p>"]
