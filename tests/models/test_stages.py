import math
from functools import partial

import pytest
import torch
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from src.models.schedules import constant
from src.models.stages import Stage, StagedLR, stage_lengths
from tests.support.tiny import ONE_CYCLE, TinyImages, classifier, trainer


def halving(optimizer, total_steps):
    return LambdaLR(optimizer, lambda step: 0.5**step)


def groups(*lrs, make=SGD, **choices):
    return make([{"params": [torch.zeros(1)], "lr": lr} for lr in lrs], lr=1.0, **choices)


def rates(optimizer, schedule, steps):
    """The lr of each group before each step."""
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return seen


def test_a_schedule_starts_anew_in_each_stage_at_its_share_of_each_groups_peak():
    optimizer = groups(8.0, 1.0)
    schedule = StagedLR(optimizer, halving, [2, 3], [[1.0, 1.0], [0.25, 3.0]])
    assert rates(optimizer, schedule, 5) == [[8, 1], [4, 0.5], [2, 3], [1, 1.5], [0.5, 0.75]]


def test_lightnings_step_after_the_last_keeps_the_rate():
    optimizer = groups(8.0)
    schedule = StagedLR(optimizer, halving, [2], [[1.0]])
    rates(optimizer, schedule, 2)
    assert optimizer.param_groups[0]["lr"] == 4


@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9), AdamW])
def test_one_stage_is_the_schedule_itself_momentum_included(make):
    name = "betas" if make is AdamW else "momentum"
    ours, theirs = groups(0.3, 0.1, make=make), groups(0.3, 0.1, make=make)
    schedules = StagedLR(ours, ONE_CYCLE, [7], [[1.0, 1.0]]), ONE_CYCLE(theirs, 7)
    for _ in range(7):
        for group, expected in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert group["lr"] == pytest.approx(expected["lr"])
            assert group[name] == pytest.approx(expected[name])
        for optimizer, schedule in zip((ours, theirs), schedules, strict=True):
            optimizer.step()
            schedule.step()


def test_a_schedule_without_momentum_leaves_it_alone():
    optimizer = groups(1.0, momentum=0.7)
    optimizer.param_groups[0]["momentum"] = 0.6
    schedule = StagedLR(optimizer, halving, [3], [[1.0]])
    rates(optimizer, schedule, 3)
    assert optimizer.param_groups[0]["momentum"] == 0.6


def test_a_schedule_without_a_length_may_be_staged():
    model = classifier(scheduler=constant)
    model.use_stages([1, None], [1.0, 0.5], [1.0, 1.0])
    run = trainer(2)
    run.fit(model, TinyImages())
    assert run.optimizers[0].param_groups[-1]["lr"] == pytest.approx(0.05)


def test_a_stage_of_one_step_trains_at_a_rate_that_counts():
    optimizer = groups(1.0)
    StagedLR(optimizer, ONE_CYCLE, [1], [[1.0]])
    assert optimizer.param_groups[0]["lr"] > 0.5


def test_a_loaded_schedule_goes_on_at_its_step():
    optimizer, other = groups(8.0), groups(8.0)
    schedule = StagedLR(optimizer, halving, [2, 3], [[1.0], [0.25]])
    rates(optimizer, schedule, 3)
    resumed = StagedLR(other, halving, [2, 3], [[1.0], [0.25]])
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert rates(other, resumed, 2) == [[1.0], [0.5]]


def test_a_state_is_plain_data():
    state = StagedLR(groups(8.0), halving, [2, 3], [[1.0], [0.25]]).state_dict()
    assert {type(value) for value in state.values()} <= {int, float, bool, list}


@pytest.mark.parametrize("other", [([3, 2], [[1.0], [0.25]]), ([2, 3], [[1.0], [0.5]])])
def test_a_state_of_other_stages_is_refused(other):
    state = StagedLR(groups(8.0), halving, [2, 3], [[1.0], [0.25]]).state_dict()
    with pytest.raises(ValueError, match="the checkpoint's stages are others"):
        StagedLR(groups(8.0), halving, *other).load_state_dict(state)


def test_a_schedule_that_waits_for_scores_cannot_be_staged():
    with pytest.raises(ValueError, match="ReduceLROnPlateau cannot run in each stage anew"):
        StagedLR(groups(1.0), lambda optimizer, total_steps: ReduceLROnPlateau(optimizer), [2], [[1.0]])


class Counts:
    """What a trainer says of its data."""

    def __init__(self, batches, accumulated=1):
        self.num_training_batches, self.accumulate_grad_batches = batches, accumulated


@pytest.mark.parametrize(
    ("total", "accumulated", "lengths"),
    [(35, 1, [7, 14, 14]), (21, 1, [7, 14]), (20, 1, [7, 13]), (5, 1, [5]), (20, 2, [4, 8, 8])],
)
def test_stages_are_so_many_epochs_and_the_last_takes_the_rest(total, accumulated, lengths):
    stages = [Stage(1, 1.0, 1.0), Stage(2, 1.0, 1.0), Stage(None, 1.0, 1.0)]
    assert stage_lengths(stages, total, Counts(7, accumulated)) == list(zip(stages, lengths, strict=False))


def test_a_stage_of_no_epochs_is_none():
    rest = Stage(None, 0.5, 1.0)
    assert stage_lengths([Stage(0, 1.0, 1.0), rest], 7, Counts(7)) == [(rest, 7)]


def test_stages_need_a_loader_that_knows_its_length():
    with pytest.raises(ValueError, match="a training loader that knows its length"):
        stage_lengths([Stage(None, 1.0, 1.0)], 7, Counts(math.inf))
