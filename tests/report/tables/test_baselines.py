import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from src.report.rows import split_of
from src.report.tables.baselines import class_scores, comparison, value_scores
from src.report.tables.net import TableNet, read_rows
from tests.support.small_table import model_of, table_of


def table_beside(data, function=None):
    """The rows of the comparison, by their first cells."""
    net = TableNet(model_of(data, function))
    rows, _ = read_rows(data, 1000)
    assert split_of(data) == "test"
    (table,) = comparison(net, data, rows)
    return table, {row[0]: dict(zip(table.head[1:], row[1:], strict=True)) for row in table.rows}


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """The price is linear in the size, with noise of 5."""
    return table_of(tmp_path_factory.mktemp("prices"), "regression")


def test_the_constant_is_the_mean_of_the_training_targets(prices):
    _, scores = table_beside(prices)
    train, test = (prices.decoded(prices.splits[split].targets.numpy()) for split in ("train", "test"))
    assert scores["a constant"]["RMSE"] == pytest.approx(np.sqrt(np.mean((test - train.mean()) ** 2)))


def test_the_linear_model_is_close_to_least_squares(prices):
    _, scores = table_beside(prices)
    train, test = (prices.splits[split] for split in ("train", "test"))
    fitted = LinearRegression().fit(train.continuous.numpy(), prices.decoded(train.targets.numpy()))
    errors = fitted.predict(test.continuous.numpy()) - prices.decoded(test.targets.numpy())
    assert scores["a linear model"]["RMSE"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.2)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_of_classes_a_constant_guesses_and_a_linear_model_learns(tmp_path, task):
    table, scores = table_beside(table_of(tmp_path, task))
    assert list(table.head) == ["", "AUROC", "log loss", "accuracy"]
    assert scores["a constant"]["AUROC"] == 0.5
    assert scores["a linear model"]["AUROC"] > 0.8
    assert scores["a linear model"]["log loss"] < scores["a constant"]["log loss"]


def test_the_net_has_the_scores_of_its_predictions(tmp_path):
    data = table_of(tmp_path, "binary")
    _, scores = table_beside(data, lambda categories, continuous: 100 * continuous[:, :1])  # by the size
    rows, _ = read_rows(data, 1000)
    is_right = (rows.continuous[:, 0] > 0).long() == rows.targets
    assert scores["this net"]["accuracy"] == pytest.approx(is_right.double().mean().item())


def test_a_class_that_no_row_has_is_left_out_of_the_mean():
    truth, probabilities = np.array([0, 1, 1]), np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1]])
    assert class_scores(truth, probabilities, "abc")["AUROC"] == 1.0
    assert class_scores(np.array([1, 1]), probabilities[:2], "abc")["AUROC"] == "one class only"


def test_each_target_has_scores_of_its_own():
    truth, values = np.array([[1.0, 10.0], [2.0, 20.0]]), np.array([[1.0, 13.0], [4.0, 24.0]])
    found = value_scores(truth, values, ["a", "b"])
    assert found["RMSE, a"] == pytest.approx(2**0.5)
    assert found["MAE, b"] == 3.5


def test_more_classes_than_a_second_allows_have_no_linear_model(tmp_path, monkeypatch):
    monkeypatch.setattr("src.report.tables.baselines.MAX_CLASSES", 3)
    _, scores = table_beside(table_of(tmp_path, "multiclass"))
    assert set(scores) == {"this net", "a constant"}


def test_data_without_rows_to_learn_from_have_no_comparison(prices):
    net = TableNet(model_of(prices))
    rows, _ = read_rows(prices, 10)
    assert comparison(net, torch.nn.Module(), rows) == []  # pyright: ignore[reportArgumentType]
