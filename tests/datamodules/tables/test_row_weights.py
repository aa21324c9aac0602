import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.small_table import frame_of, table_of


@pytest.fixture
def frame():
    return frame_of(400).assign(weight=np.arange(400) % 5)


def test_weights_have_a_mean_of_one_in_training_and_are_no_input(tmp_path, frame, capsys):
    data = table_of(tmp_path, "binary", frame, row_weight="weight", categorical="auto", continuous="auto", dates="auto")
    assert data.splits["train"].weights.mean().item() == pytest.approx(1)
    assert "weight" not in data.spec["processing"]["choices"]["continuous"]
    assert (data.spec["row_weight"], data.splits["train"].weights.dtype) == ("weight", torch.float32)
    assert "losses and scores count rows by weight" in capsys.readouterr().out


def test_each_row_has_its_own_weight_in_all_splits(tmp_path, frame):
    data = table_of(tmp_path, frame=frame.assign(size=frame.weight), row_weight="weight")
    for rows in data.splits.values():
        scaled = rows.continuous[:, 0].double()
        assert np.corrcoef(scaled, rows.weights)[0, 1] == pytest.approx(1)
    (*_, targets, weights) = next(iter(data.train_dataloader()))
    assert len(targets) == len(weights)


def test_a_table_without_weights_has_batches_of_three(tmp_path, frame):
    data = table_of(tmp_path, frame=frame)
    assert len(next(iter(data.train_dataloader()))) == 3
    assert "row_weight" not in data.spec


@pytest.mark.parametrize("value", [None, -1.0])
def test_a_row_without_a_weight_is_refused_by_its_place(tmp_path, frame, value):
    frame = frame.astype({"weight": float}).set_axis(pd.RangeIndex(1, 401, name="a.csv, row"))
    frame.loc[7, "weight"] = value
    words = r"needs a number, 0 or more, in every row: in 'weight' a.csv, row 7 has .*and 1 of [\d,]+ rows"
    with pytest.raises(ValueError, match=words):
        table_of(tmp_path, frame=frame, row_weight="weight")


def test_a_split_without_any_weight_is_refused(tmp_path, frame):
    with pytest.raises(ValueError, match=r"all \d+ rows of a split have the weight 0"):
        table_of(tmp_path, frame=frame.assign(weight=0), row_weight="weight")
