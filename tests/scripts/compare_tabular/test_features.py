"""What stands for categories, on small tables."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from scripts.compare_tabular.features import as_categories, as_codes, as_one_hot, as_target_means, as_vectors
from tests.support.table_of_frame import table_of


def test_codes_are_in_the_order_of_numbers():
    part = as_codes(table_of(pd.DataFrame({"c": [9, 10, 10, 2, 10], "y": range(5)})), seed=0)
    assert np.argsort(part.inputs["valid"][:, 0], kind="stable").tolist() == [3, 0, 1, 2, 4]


def test_codes_are_in_the_order_of_texts():
    part = as_codes(table_of(pd.DataFrame({"c": ["b", "c", "c", "a"], "y": range(4)})), seed=0)
    assert np.argsort(part.inputs["valid"][:, 0], kind="stable").tolist() == [3, 0, 1, 2]


def test_native_categories_beyond_255_are_one():
    part = as_categories(table_of(pd.DataFrame({"c": range(300), "y": range(300)})), seed=0)
    assert sorted(set(part.inputs["train"][:, 0])) == list(range(2, 255))


def test_one_hot_categories_are_equally_far():
    rows = as_one_hot(table_of(pd.DataFrame({"c": ["a", "b", "d"], "y": range(3)})), seed=0).inputs["train"]
    assert rows.sum(axis=1).tolist() == [1, 1, 1]
    assert np.linalg.matrix_rank(rows) == 3


def test_the_target_mean_of_a_category_is_of_other_rows():
    part = as_target_means(table_of(pd.DataFrame({"c": range(40), "y": range(40)})), seed=0)
    # Each category is one row's: seen by itself its mean would be its target.
    assert abs(np.corrcoef(part.inputs["train"][:, 0], part.targets)[0, 1]) < 0.5
    assert np.corrcoef(part.inputs["valid"][:, 0], part.targets)[0, 1] > 0.99


def test_vectors_stand_in_place_of_categories():
    frame = pd.DataFrame({"c": ["a", "b", "a"], "x": [1.0, 2.0, 3.0], "y": [5.0, 6.0, 7.0]})
    here = table_of(frame, continuous=["x"])
    embedding = nn.EmbeddingBag(4, 3)
    part = as_vectors(here, embedding, np.array([2, 1]))
    assert part.targets.tolist() == [7, 6]
    assert part.inputs["train"].shape == (2, 4)
    assert part.inputs["train"][0, :3].tolist() == embedding.weight[2].tolist()
    assert part.inputs["valid"][:, 3].tolist() == here.splits["valid"].continuous[:, 0].tolist()


@pytest.mark.parametrize(("targets", "score"), [([1.0, 2.0, 3.0], "mape"), ([0.0, 2.0, 3.0], "rmse")])
def test_positive_targets_are_compared_by_their_percentage_error(targets, score):
    assert table_of(pd.DataFrame({"c": ["a", "b", "a"], "y": targets})).score == score


def test_classes_are_compared_by_auroc():
    frame = pd.DataFrame({"c": ["a", "b", "a"], "y": ["no", "yes", "no"]})
    table = table_of(frame, task="binary")
    assert table.score == "auroc"
    scores = table.scores(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), "test")
    assert (scores["auroc"], scores["accuracy"]) == (1.0, 1.0)


def test_some_rows_are_drawn_with_their_targets():
    part = as_codes(table_of(pd.DataFrame({"c": range(9), "y": np.arange(9.0)})), seed=0)
    some = part.some(4, seed=1)
    assert len(some.targets) == len(set(some.targets)) == 4
    place = {target: row.tolist() for target, row in zip(part.targets, part.inputs["train"], strict=True)}
    assert [place[target] for target in some.targets] == some.inputs["train"].tolist()
    assert some.inputs["valid"] is part.inputs["valid"]
    assert part.some(9, seed=1) is part
