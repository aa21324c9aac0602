import pytest

from src.report.tables import importance as importance_module
from src.report.tables.columns import table_columns
from src.report.tables.importance import NUM_SHUFFLES, affordable, draw_importances, importances_of, relation_to
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


def read(data, function):
    """The net by hand, all columns, and all rows of the test split."""
    rows, _ = read_rows(data, 1000)
    return TableNet(model_of(data, function)), table_columns(data.spec["processing"]), rows


def test_a_few_columns_are_all_shuffled_in_all_rows(data):
    net, columns, rows = read(data, lambda c, x: x[:, 2:3])
    assert affordable(net, columns, rows) == (columns, [], len(rows))


@pytest.mark.parametrize(("share", "num_columns", "num_rows"), [(1, 5, 1), (0.5, 2, 1), (0.01, 2, 0.025)])
def test_of_many_columns_the_strongest_are_shuffled_within_a_bound(data, monkeypatch, share, num_columns, num_rows):
    net, columns, rows = read(data, lambda c, x: x[:, 2:3] + 0.7 * x[:, :1])
    num_inputs = rows.categories.shape[1] + rows.continuous.shape[1]
    whole = NUM_SHUFFLES * num_inputs * len(rows) * len(columns)
    monkeypatch.setattr(importance_module, "MAX_CELLS", int(share * whole))
    monkeypatch.setattr(importance_module, "MIN_COLUMNS", 2)
    chosen, others, count = affordable(net, columns, rows)
    assert {column.name for column in (*chosen, *others)} == {column.name for column in columns}
    assert (len(chosen), count) == (num_columns, int(num_rows * len(rows)))
    assert NUM_SHUFFLES * num_inputs * count * len(chosen) <= share * whole
    assert share == 1 or [column.name for column in chosen] == ["id", "size"]


def test_the_relation_of_a_column_is_the_share_that_it_explains(data):
    _, columns, rows = read(data, lambda c, x: x[:, 2:3])
    town, opened, size, number, _ = columns
    towns, numbers = (values.numpy() for values in (rows.categories[:, :1], rows.continuous[:, 2:3]))
    assert relation_to(1.0 * towns, town, rows) == pytest.approx(1)
    assert relation_to(1.0 * numbers, number, rows) == pytest.approx(0.99, abs=0.01)
    assert relation_to(1.0 * numbers**2, number, rows) > 0.9
    assert relation_to(1.0 * towns, opened, rows) == pytest.approx(0, abs=0.05)
    assert relation_to(1.0 * numbers, size, rows) == pytest.approx(0, abs=0.1)
    assert relation_to(0.0 * towns, town, rows) == 0
