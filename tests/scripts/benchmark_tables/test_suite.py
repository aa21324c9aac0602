import numpy as np
import pandas as pd
import pytest

from scripts.benchmark_tables.suite import SUITE, SuiteTable, read, score, write_split
from src.core.errors import ConfigError


@pytest.fixture
def churn(tmp_path):
    """A table of the suite with 100 rows, two of them without a target."""
    (tmp_path / "tables").mkdir()
    rows = {"rownames": range(100), "usage": np.arange(100) / 7, "churn": ["yes", "no", "no", "yes"] * 25}
    frame = pd.DataFrame(rows)
    frame.loc[[3, 50], "churn"] = None
    frame.to_csv(tmp_path / "tables" / "mlc_churn.csv", index=False)
    return tmp_path


def test_a_table_is_read_without_row_names_and_rows_that_lack_the_target(churn):
    frame = read("mlc_churn", str(churn))
    assert list(frame) == ["usage", "churn"]
    assert len(frame) == 98


def test_a_split_has_each_row_once_and_a_seed_draws_the_same_rows_again(churn, tmp_path):
    for folder in ("a", "b"):
        write_split("mlc_churn", str(churn), 1, tmp_path / folder)
    write_split("mlc_churn", str(churn), 2, tmp_path / "c")
    train, test, again, other = (
        pd.read_csv(tmp_path / name) for name in ("a/train.csv", "a/test.csv", "b/test.csv", "c/test.csv")
    )
    assert len(test) == 20
    assert sorted([*train["usage"], *test["usage"]]) == sorted(read("mlc_churn", str(churn))["usage"])
    assert test["usage"].tolist() == again["usage"].tolist() != other["usage"].tolist()


def test_classes_too_rare_for_a_score_are_left_out(tmp_path):
    (tmp_path / "tables").mkdir()
    phases = ["Climb"] * 60 + ["Taxi"] * 3 + ["Descent"] * 50
    pd.DataFrame({"phase_of_flt": phases, "remarks": "a bird", "speed": 1.0}).to_csv(
        tmp_path / "tables" / "birds.csv", index=False
    )
    frame = read("birds", str(tmp_path))
    assert list(frame) == ["phase_of_flt", "speed"]
    assert set(frame["phase_of_flt"]) == {"Climb", "Descent"}


def test_a_missing_table_says_where_it_was_sought(tmp_path):
    with pytest.raises(ConfigError, match=r"tables/ames\.csv.*--tables"):
        read("ames", str(tmp_path))


def test_regression_is_scored_by_rmse_and_classes_by_auroc():
    assert [SUITE[name].score for name in ("ames", "birds", "adult")] == ["rmse", "auroc", "auroc"]


def test_scores_are_rmse_and_auroc():
    numbers, yes_no, kinds = (SuiteTable(target="y", task=task) for task in ("regression", "binary", "multiclass"))
    assert score(numbers, pd.Series([1.0, 2.0]), np.array([1.0, 4.0])) == pytest.approx(2**0.5)
    assert score(numbers, pd.Series([1.0, 2.0]), np.array([[1.0], [4.0]])) == pytest.approx(2**0.5)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert score(yes_no, pd.Series(["a", "b", "b"]), probabilities) == 1.0
    assert score(yes_no, pd.Series(["a", "b", "a"]), 1 - probabilities) == 0.0
    of_three = np.array([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.2, 0.6, 0.2]])
    # a and b are told from the others in all pairs, c in 5 of 6, with half of a pair of equals
    assert score(kinds, pd.Series(["a", "b", "c", "b"]), of_three) == pytest.approx((1 + 1 + 2.5 / 3) / 3)
