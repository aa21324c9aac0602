import pytest

from scripts.shared.markdown import markdown_table, with_three_digits


def test_a_table_has_a_head_a_rule_and_a_line_for_each_row():
    assert markdown_table(["a", "bb"], [["x", 2], [3.0, ""]]) == "| a | bb |\n| --- | --- |\n| x | 2 |\n| 3 |  |"


def test_aligned_columns_are_as_wide_as_their_widest_cell():
    table = markdown_table(["name", "score"], [["logistic", 1], ["net", 0.25]], aligned=True)
    assert table.split("\n") == [
        "| name     | score |",
        "| -------- | ----- |",
        "| logistic | 1     |",
        "| net      | 0.25  |",
    ]


def test_the_rule_of_a_narrow_column_has_three_dashes():
    assert markdown_table(["a"], [["b"]], aligned=True).split("\n")[1] == "| --- |"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("as it is", "as it is"),
        (12_345, "12,345"),
        (7, "7"),
        (1234.56, "1,235"),
        (100.0, "100"),
        (99.94, "99.9"),
        (0.0012345, "0.00123"),
        (-250.7, "-251"),
        (None, "None"),
    ],
)
def test_numbers_get_three_digits(cell, text):
    assert with_three_digits(cell) == text
