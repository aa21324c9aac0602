import pytest

from src.report.tables.columns import table_columns
from src.report.tables.importance import draw_importances, importances_of
from src.report.tables.net import TableNet, read_rows
from tests.support.small_table import frame_of, model_of, table_of


def importances(data, function):
    rows, _ = read_rows(data, 1000)
    return importances_of(TableNet(model_of(data, function)), table_columns(data.spec["processing"]), rows)


@pytest.fixture
def data(tmp_path):
    """The target is the number `id`."""
    return table_of(tmp_path, frame=frame_of(600).assign(price=lambda frame: frame["id"]))


def test_the_one_column_that_matters_makes_twice_the_targets_variance(data):
    first, *others = importances(data, lambda c, x: x[:, 2:3])
    assert first.column.name == "id"
    # The mean of (x - another row's x)^2 is twice the variance, which is about 1 here.
    variance = data.splits["test"].targets.var(correction=0).item()
    assert first.rise == pytest.approx(2 * variance, rel=0.1)
    assert 0 < first.deviation < 0.15
    assert {(other.rise, other.deviation) for other in others} == {(0.0, 0.0)}


def test_a_date_is_shuffled_as_a_whole(data):
    # Elapsed days alone, month alone, or both at once: one bar.
    found = importances(data, lambda c, x: x[:, 3:4] + c[:, 2:3])
    assert [importance.column.name for importance in found if importance.rise] == ["day"]


def test_two_calls_give_the_same(data):
    first, second = (importances(data, lambda c, x: x[:, :1] + x[:, 2:3]) for _ in range(2))
    assert first == second


def test_names_are_drawn_as_they_are_the_strongest_on_top(data):
    found = importances(data, lambda c, x: x[:, 2:3])
    axes = draw_importances(found).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["id", "town", "open", "size", "day"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [bar.get_width() for bar in axes.patches] == [importance.rise for importance in found]
