import pytest
import torch
from sklearn.metrics import r2_score
from torch.testing import assert_close

from src.models.row_scores import RowScores, regression_scores


def test_errors_by_hand():
    scores = regression_scores(torch.tensor([[2.0], [8.0]]), torch.tensor([[1.0], [10.0]]), ["sales"])
    assert {name: round(score.item(), 4) for name, score in scores.items()} == {
        "r2": 0.8765,  # 5 / 2 of the variance of 81 / 4 is left
        "rmse": 1.5811,  # of 1 and 2
        "mae": 1.5,
        "rmspe": 0.7211,  # of 1 and 0.2
        "mape": 0.6,
    }


def test_relative_errors_need_positive_targets():
    assert list(regression_scores(torch.ones(2, 1), torch.tensor([[0.0], [1.0]]), ["sales"])) == [
        "r2",
        "rmse",
        "mae",
    ]


def test_several_targets_have_scores_of_their_own_beside_the_mean():
    scores = regression_scores(
        torch.tensor([[1.0, 5.0], [0.0, 2.0]]), torch.tensor([[0.0, 2.0], [-1.0, 5.0]]), ["sales", "visits"]
    )
    assert scores == {
        "r2": -3,
        "r2_sales": -3,
        "r2_visits": -3,
        "rmse": 2,
        "rmse_sales": 1,
        "rmse_visits": 3,
        "mae": 2,
        "mae_sales": 1,
        "mae_visits": 3,
    }


def test_r2_equals_that_of_scikit_learn():
    predictions, targets = torch.rand(50, 3, dtype=torch.float64), torch.rand(50, 3, dtype=torch.float64)
    expected = r2_score(targets, predictions, multioutput="raw_values")
    found = regression_scores(predictions, targets, ["a", "b", "c"])
    assert [found[f"r2_{name}"].item() for name in "abc"] == pytest.approx(expected.tolist())


def test_r2_of_a_constant_target_is_finite():
    targets = torch.full((3, 1), 0.1, dtype=torch.float64)
    assert regression_scores(targets, targets, ["a"])["r2"] == 1
    assert regression_scores(targets + 1, targets, ["a"])["r2"] == 0


def test_scores_do_not_depend_on_the_batches():
    predictions, targets = torch.rand(11, 2), torch.rand(11, 2)
    whole, parts = (RowScores(lambda *rows: regression_scores(*rows, ["a", "b"])) for _ in range(2))
    whole.update(predictions, targets)
    for rows in (slice(0, 4), slice(4, 9), slice(9, 11)):
        parts.update(predictions[rows], targets[rows])
    assert parts.compute() == whole.compute()


def test_a_row_of_weight_three_counts_as_three_rows():
    generator = torch.Generator().manual_seed(0)
    predictions, targets = 1 + torch.rand(2, 30, 2, generator=generator, dtype=torch.float64)
    weights = torch.randint(0, 4, (30,), generator=generator)
    expected = regression_scores(*(rows.repeat_interleave(weights, 0) for rows in (predictions, targets)), ["a", "b"])
    assert_close(regression_scores(predictions, targets, ["a", "b"], weights.double()), expected)


def test_weights_are_kept_over_batches():
    weighted = RowScores(lambda outputs, targets, weights: {"mean": (outputs * weights).sum()}, weighted=True)
    for value in (1.0, 2.0):
        weighted.update(torch.tensor([value]), torch.tensor([0.0]), torch.tensor([10 * value]))
    assert weighted.compute()["mean"] == 50  # 1 * 10 + 2 * 20
