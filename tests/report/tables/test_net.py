from functools import partial

import pytest
import torch
from torch.testing import assert_close

from src.models.tables.entity_mlp import EntityMLP
from src.report.tables.columns import table_columns
from src.report.tables.net import TableNet, read_rows
from tests.support.small_table import frame_of, model_of, table_of
from tests.support.tiny import trainer
from tests.support.tiny_table import choices


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_mean_of_the_rows_losses_is_the_loss_of_the_test(tmp_path, task, members):
    data = table_of(tmp_path, task, frame_of(60))
    model = model_of(data, net=partial(EntityMLP, **choices(num_members=members)))
    rows, _ = read_rows(data, 1000)
    ours = TableNet(model).losses(rows).mean()
    (scores,) = trainer().test(model, data, verbose=False)
    assert ours == pytest.approx(scores["test/loss"], rel=1e-5)


def test_an_l1_loss_is_taken_as_the_model_has_it(tmp_path):
    data = table_of(tmp_path, frame=frame_of(60))
    rows, _ = read_rows(data, 1000)
    model = model_of(data, lambda c, x: 0 * x[:, :1], regression_loss="l1")
    assert_close(torch.tensor(TableNet(model).losses(rows)), rows.targets[:, 0].abs().double())


@pytest.mark.parametrize("scaling", ["log", "standardise"])
def test_values_are_in_the_targets_units(tmp_path, scaling):
    frame = frame_of(60).assign(price=lambda frame: frame["id"] + 1.0)
    data = table_of(tmp_path, frame=frame, target=["price", "weight"], target_scaling=scaling)
    rows, _ = read_rows(data, 1000)
    net = TableNet(model_of(data, lambda c, x: torch.zeros(len(x), 2)))
    ids = table_columns(data.spec["processing"])[3].numbers[0]
    prices = ids.original(rows.continuous[:, ids.place].numpy()) + 1
    assert_close(torch.tensor(net.truth(rows)[:, 0]), torch.tensor(prices), rtol=1e-4, atol=1e-3)
    assert net.names == ["price", "weight"]
    scaled = data.spec["processing"]["target"]
    means = torch.tensor(scaled["mean"], dtype=torch.float64)
    assert_close(torch.tensor(net.predictions(rows)[0]), means.exp() if scaling == "log" else means, rtol=1e-5, atol=0)


def test_of_many_rows_evenly_spread_ones_are_read(tmp_path):
    data = table_of(tmp_path, frame=frame_of(46))
    everything, total = read_rows(data, 23)
    assert total == len(everything) == 23
    some, total = read_rows(data, 8)
    assert (some.numbers.tolist(), total) == ([0, 3, 6, 9, 12, 15, 18, 21], 23)
    assert_close(some.continuous, everything.continuous[::3])
    assert everything.evenly(5).numbers.tolist() == [0, 5, 10, 15, 20]


def test_a_columns_inputs_are_taken_from_other_rows_and_no_others(tmp_path):
    data = table_of(tmp_path)
    rows, _ = read_rows(data, 1000)
    size, day = (column for column in table_columns(data.spec["processing"]) if column.name in ("size", "day"))
    others = rows.take(list(reversed(range(len(rows)))))
    changed = rows.with_column(day, others)
    assert_close(changed.categories, torch.cat([rows.categories[:, :2], others.categories[:, 2:]], 1))
    assert_close(changed.continuous, torch.cat([rows.continuous[:, :3], others.continuous[:, 3:]], 1))
    flagged = rows.with_column(size, others)  # the number and its flag of missing ones
    assert_close(flagged.continuous, torch.cat([others.continuous[:, :2], rows.continuous[:, 2:]], 1))
    assert_close(flagged.targets, rows.targets)
