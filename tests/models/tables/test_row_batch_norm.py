import torch
from torch import nn
from torch.testing import assert_close

from src.models.tables.row_batch_norm import RowBatchNorm

ROWS = torch.tensor([[1.0, -2.0], [3.0, 4.0], [8.0, 1.0]])


def test_several_rows_are_normalised_as_by_torch():
    ours, theirs = RowBatchNorm(2), nn.BatchNorm1d(2)
    assert_close(ours(ROWS), theirs(ROWS), rtol=0, atol=0)
    assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_a_single_row_is_normalised_by_the_running_averages_and_changes_none():
    norm = RowBatchNorm(2)
    norm(ROWS)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    expected = (ROWS[:1] - before["running_mean"]) / (before["running_var"] + norm.eps).sqrt()
    assert_close(norm(ROWS[:1]), expected)
    assert_close(norm.state_dict(), before, rtol=0, atol=0)
