import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from src.models.schedules import constant, cosine_restarts, flat_cosine, one_cycle

ONE_CYCLE = {
    "warmup_fraction": 0.25,
    "start_ratio": 0.04,
    "final_ratio": 1e-3,
    "momentum_low": 0.85,
    "momentum_high": 0.95,
    "anneal": "cos",
}


def make(optimizer_class=torch.optim.SGD, lrs=(2.0,), **choices):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return optimizer_class(groups, **choices)


def run(optimizer, scheduler, steps, value=lambda group: group["lr"]):
    """What each group has at each step."""
    values = []
    for _ in range(steps):
        values.append([value(group) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return [list(series) for series in zip(*values, strict=True)]


def one_cycle_of(optimizer, steps=12, value=lambda group: group["lr"], **changes):
    return run(optimizer, one_cycle(optimizer, steps, **(ONE_CYCLE | changes)), steps, value)


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing():
    (lrs,) = one_cycle_of(make())
    assert lrs[0] == pytest.approx(0.08)  # 0.04 x 2
    assert lrs[1] == pytest.approx((0.08 + 2) / 2)  # half-way up the cosine
    assert lrs[2] == pytest.approx(2.0)  # a quarter of 12 steps is the third
    assert lrs[11] == pytest.approx(0.002)  # 1e-3 x 2


def test_one_cycle_may_be_linear():
    (lrs,) = one_cycle_of(make(), anneal="linear", final_ratio=0.1)
    assert lrs[2:] == pytest.approx([2.0 - 0.2 * step for step in range(10)])


def test_one_cycle_moves_sgds_momentum_the_other_way():
    (momenta,) = one_cycle_of(make(momentum=0.9), value=lambda group: group["momentum"])
    assert [momenta[0], momenta[2], momenta[11]] == pytest.approx([0.95, 0.85, 0.95])


def test_one_cycle_moves_adams_first_beta_only():
    (betas,) = one_cycle_of(make(torch.optim.AdamW, betas=(0.9, 0.99)), value=lambda group: group["betas"])
    assert betas[0] == pytest.approx((0.95, 0.99))
    assert betas[2] == pytest.approx((0.85, 0.99))


def test_one_cycle_leaves_sgd_without_momentum_without_it():
    (momenta,) = one_cycle_of(make(momentum=0.0), value=lambda group: group["momentum"])
    assert set(momenta) == {0.0}


@pytest.mark.parametrize("total_steps", range(1, 11))
def test_one_cycle_works_for_any_number_of_steps(total_steps):
    (lrs,) = one_cycle_of(make(), total_steps)
    assert all(0 < lr <= 2 for lr in lrs)


def test_one_cycle_with_a_warmup_of_one_step_begins_at_the_peak():
    (lrs,) = one_cycle_of(make(), 4)
    assert lrs[0] == pytest.approx(2.0)


@pytest.mark.parametrize("wrong", [{"warmup_fraction": 1.0}, {"start_ratio": 0.0}, {"final_ratio": 0.0}])
def test_one_cycle_refuses_shares_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        one_cycle(make(), 12, **(ONE_CYCLE | wrong))


def test_flat_cosine_warms_up_stays_and_falls():
    optimizer = make()
    schedule = flat_cosine(optimizer, 10, warmup_fraction=0.2, flat_fraction=0.5, final_ratio=0.1)
    (lrs,) = run(optimizer, schedule, 10)
    falling = [0.2 + 0.9 * (1 + math.cos(math.pi * done / 5)) for done in range(5)]
    assert lrs == pytest.approx([2 / 3, 4 / 3, 2, 2, 2, *falling])


def test_flat_cosine_refuses_a_warmup_longer_than_the_flat_part():
    with pytest.raises(ValueError, match=r"warmup_fraction=0.6, flat_fraction=0.5"):
        flat_cosine(make(), 10, warmup_fraction=0.6, flat_fraction=0.5, final_ratio=0.0)


@pytest.mark.parametrize(("cycle_mult", "total_steps", "first"), [(1.0, 12, 4), (2.0, 21, 3)])
def test_cosine_restarts_equals_torchs_step_for_step(cycle_mult, total_steps, first):
    ours, theirs = make(), make()
    schedule = cosine_restarts(ours, total_steps, num_cycles=3, cycle_mult=cycle_mult, final_ratio=0.1)
    reference = CosineAnnealingWarmRestarts(theirs, T_0=first, T_mult=int(cycle_mult), eta_min=0.2)
    assert run(ours, schedule, total_steps)[0] == pytest.approx(run(theirs, reference, total_steps)[0])


def test_cosine_restarts_may_have_cycles_of_broken_length():
    optimizer = make()
    schedule = cosine_restarts(optimizer, 7, num_cycles=2, cycle_mult=1.0, final_ratio=0.0)
    (lrs,) = run(optimizer, schedule, 7)
    assert [lrs[0], lrs[4]] == pytest.approx([2, 1 + math.cos(math.pi * 0.5 / 3.5)])  # the second starts at 3.5


def test_cosine_restarts_refuses_no_cycle():
    with pytest.raises(ValueError, match="num_cycles=0"):
        cosine_restarts(make(), 7, num_cycles=0, cycle_mult=1.0, final_ratio=0.0)


def test_constant_changes_nothing():
    optimizer = make()
    assert run(optimizer, constant(optimizer), 3) == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda optimizer: one_cycle(optimizer, 6, **ONE_CYCLE),
        lambda optimizer: flat_cosine(optimizer, 6, warmup_fraction=0.2, flat_fraction=0.5, final_ratio=0.0),
        lambda optimizer: cosine_restarts(optimizer, 6, num_cycles=2, cycle_mult=2.0, final_ratio=0.0),
        constant,
    ],
)
def test_layer_groups_keep_the_ratio_of_their_rates(schedule):
    optimizer = make(lrs=(0.02, 2.0))
    low, high = run(optimizer, schedule(optimizer), 6)
    assert low == pytest.approx([lr / 100 for lr in high])
