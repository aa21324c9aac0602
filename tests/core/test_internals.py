import pytest
import torch
from torch import nn

from src.core import internals
from tests.support.tiny import AtBatch, TinyImages, classifier, trainer


def test_tensors_move_a_share_of_the_way_to_their_targets():
    tensors, targets = [torch.tensor([0.0, 4.0]), torch.tensor([1.0])], [torch.tensor([8.0, 0.0]), torch.tensor([2.0])]
    internals.blend_(tensors, targets, 0.25)
    assert [tensor.tolist() for tensor in tensors] == [[2.0, 3.0], [1.25]]


def test_leaves_are_found_at_any_depth_in_order():
    assert internals.leaves({"b": [1, (2, None)], "a": 3}) == [1, 2, None, 3]


def test_a_scheduler_of_schedulers_names_them():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    steps = [torch.optim.lr_scheduler.StepLR(optimizer, size) for size in (1, 2)]
    assert list(internals.inner_schedulers(torch.optim.lr_scheduler.SequentialLR(optimizer, steps, [3]))) == steps
    assert list(internals.inner_schedulers(steps[0])) == []


@pytest.mark.parametrize("is_fused", [True, False])
def test_a_fused_optimizer_asks_the_grad_scaler(is_fused):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, fused=is_fused)
    assert internals.asks_grad_scaler(optimizer) == is_fused


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), nn.InstanceNorm2d(2), nn.SyncBatchNorm(2), nn.LazyBatchNorm3d()])
def test_norms_with_statistics_share_a_base_class(norm):
    assert isinstance(norm, internals.NormWithStatistics)


def test_a_training_knows_where_it_stands():
    def place(trainer, model):
        asked = internals.is_accumulating(trainer), internals.is_last_batch(trainer)
        return *asked, internals.is_validation_next(trainer), internals.logged_step(trainer)

    places = AtBatch(place, "end")
    trainer(1, places, accumulate_grad_batches=2).fit(classifier(), TinyImages())  # three batches, two steps
    assert places.values == [(True, False, False, 0), (False, False, False, 0), (False, True, True, 1)]
