import numpy as np
import pandas as pd
import pytest

from scripts.benchmark_tables.rivals import RIVALS, as_inputs, installed, lightgbm_tries, measure
from scripts.benchmark_tables.suite import SuiteTable

YES_NO = SuiteTable(target="y", task="binary")


def test_text_is_a_category_of_training_and_numbers_stay():
    train = pd.DataFrame({"size": ["S", "L", "S", None], "count": [1, 2, 3, 4]})
    test = pd.DataFrame({"size": ["L", "XL"], "count": [5, 6]})
    inputs, rows = as_inputs(train, test, None)
    assert list(inputs["size"].cat.categories) == ["S", "L"]
    assert inputs["size"].cat.codes.tolist() == [0, 1, 0, -1]
    assert rows["size"].cat.codes.tolist() == [1, -1]
    assert rows["count"].tolist() == [5, 6]


def test_only_the_most_frequent_categories_are_kept():
    texts = [f"c{number}" for number in range(300)]
    train = pd.DataFrame({"code": [*texts, *texts[:200]]})
    inputs, _ = as_inputs(train, train, None)
    assert set(texts[:200]) < set(inputs["code"].cat.categories)
    assert len(inputs["code"].cat.categories) == 254


@pytest.mark.parametrize(
    ("text", "date_format"), [("2021-03-01", None), ("3/1/2021 0:00:00", "%m/%d/%Y %H:%M:%S")], ids=["iso", "given"]
)
def test_dates_are_numbers(text, date_format):
    frame = pd.DataFrame({"day": [text, None]})
    inputs, _ = as_inputs(frame, frame, date_format)
    first = inputs.iloc[0].to_dict()
    days, weekday = 18_687, 0  # 2021-03-01, a Monday, by the calendar
    assert (first["day_days"], first["day_day_of_week"], first["day_month"]) == (days, weekday, 3)
    assert inputs.iloc[1].isna().all()


def test_a_rival_learns_from_one_file_and_is_scored_on_the_other(tmp_path):
    random = np.random.default_rng(0)
    for split, rows in (("train", 400), ("test", 200)):
        x = random.normal(size=rows)
        frame = pd.DataFrame({"x": x, "y": np.where(x + random.normal(size=rows) / 4 > 0, "yes", "no")})
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    found = measure("HistGradientBoosting", YES_NO, tmp_path, 0)
    assert 0.9 < found["score"] < 1
    assert found["seconds"] > 0


def test_the_first_try_of_tuning_is_the_defaults_and_a_seed_draws_the_same_again():
    tries = list(lightgbm_tries(3, 5))
    assert tries[0] == {}
    assert tries == list(lightgbm_tries(3, 5)) != list(lightgbm_tries(4, 5))


def test_scikit_learns_boosting_is_always_there():
    assert "HistGradientBoosting" in installed()
    assert set(installed()) <= set(RIVALS)
