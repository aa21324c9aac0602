from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.optim import LBFGS, SGD
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR

from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.lr_finder.rules import RULES
from src.datamodules.loader import BatchLoader
from tests.support.tiny import TinyImages, classifier, trainer

RANGE = {"min_lr": 1e-3, "max_lr": 0.4, "num_steps": 12}  # the loss falls, and never diverges
RUNGS = np.geomspace(1e-3, 0.4, 12)


class Sum(pl.LightningModule):
    """Two numbers, 3 and 2, whose sum learns to be a batch's mean; `configure` makes optimizers of [body], [head]."""

    def __init__(self, configure):
        super().__init__()
        self.body, self.head = (torch.nn.Parameter(torch.tensor([start])) for start in (3.0, 2.0))
        self.configure = configure
        self.automatic_optimization = configure is not two_optimizers

    def configure_optimizers(self):
        return self.configure([self.body], [self.head])

    def loss(self, batch):
        return (self.body + self.head - batch[0].mean()).square().sum()

    def training_step(self, batch, batch_idx):
        if self.automatic_optimization:
            return self.loss(batch)
        for optimizer, scheduler in 2 * list(zip(self.optimizers(), self.lr_schedulers(), strict=True)):
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()
            scheduler.step()  # each optimizer's second step in a batch must not use what this sets
        return None

    def validation_step(self, batch, batch_idx):
        raise AssertionError("no validation belongs to a search")

    def train_dataloader(self):
        return BatchLoader(torch.linspace(-0.1, 0.1, 6), batch_size=2)

    def val_dataloader(self):
        return BatchLoader(torch.tensor([-7.0, -9.0, 1.0]), batch_size=2)


USED: list[list[float]] = []  # the rates of all groups, at each step of a Spying optimizer


class Spying(SGD):
    def step(self, closure=None):
        loss = super().step(closure)
        USED.append([float(group["lr"]) for group in self.param_groups])
        return loss


class SpyingLBFGS(LBFGS):
    def step(self, closure):
        USED.append([float(group["lr"]) for group in self.param_groups])  # it reads its rate before the closure
        return super().step(closure)


def one_group(body, head, optimizer=Spying):
    return optimizer([*body, *head], lr=0.01)


def two_groups(body, head):
    return Spying([{"params": body, "lr": 1e-4}, {"params": head}], lr=0.01)


def one_cycle_from_below(body, head):
    optimizer = Spying([{"params": body}, {"params": head}], lr=1e-8)
    return [optimizer], [{"scheduler": OneCycleLR(optimizer, [2e-3, 0.2], total_steps=9), "interval": "step"}]


def two_optimizers(body, head):
    optimizers = [Spying(body, lr=0.01), Spying(head, lr=0.05)]
    return optimizers, [ExponentialLR(optimizer, 0.5) for optimizer in optimizers]


@pytest.fixture(autouse=True)
def anew():
    torch.manual_seed(0)
    USED.clear()


def search(model=None, datamodule=None, run=None, **choices):
    return LRFinder(**(RANGE | choices)).find(run or trainer(), model or Sum(one_group), datamodule)


def last_group():
    return [rates[-1] for rates in USED]


@pytest.mark.parametrize(("ladder", "space"), [("exponential", np.geomspace), ("linear", np.linspace)])
def test_each_step_uses_the_next_rung_from_min_lr_to_max_lr(ladder, space):
    search(ladder=ladder)
    assert (USED[0], USED[-1]) == ([1e-3], [0.4])
    assert last_group() == pytest.approx(space(1e-3, 0.4, 12), rel=1e-12)


def test_each_rate_is_the_one_before_times_a_constant():
    search()
    factors = np.divide(last_group()[1:], last_group()[:-1])
    assert factors == pytest.approx(np.full(11, 400 ** (1 / 11)), rel=1e-12)


@pytest.mark.parametrize(
    ("configure", "ratio"), [(two_groups, 0.01), (one_cycle_from_below, 0.01)], ids=["no schedule", "one-cycle"]
)
def test_groups_of_a_stranger_keep_their_ratio_to_the_last_ones_peak(configure, ratio):
    search(Sum(configure))
    assert [body for body, _ in USED] == pytest.approx(ratio * RUNGS, rel=1e-12)
    assert last_group() == RUNGS.tolist()


def test_layer_groups_keep_their_ratio_to_the_last_ones_peak():
    search(classifier(optimizer=Spying, lr_ratio=0.1), TinyImages())
    assert [rates[0] for rates in USED] == pytest.approx(0.1 * RUNGS, rel=1e-12)
    assert last_group() == RUNGS.tolist()


def test_every_optimizer_moves_under_manual_optimization_whatever_its_scheduler_sets():
    search(Sum(two_optimizers))
    rates = np.array(USED).reshape(12, 4)  # the first optimizer's and the second's, twice in each batch
    assert rates == pytest.approx(np.outer(RUNGS, [1, 5, 1, 5]), rel=1e-12)


def test_an_optimizer_that_calls_its_closure_itself_uses_each_rung():
    search(Sum(partial(one_group, optimizer=SpyingLBFGS)))
    assert last_group() == RUNGS.tolist()


def test_accumulated_batches_share_a_rung_and_count_by_their_mean():
    class Recorded(Sum):
        def training_step(self, batch, batch_idx):
            losses.append(loss := self.loss(batch))
            return loss

    losses = []
    found = search(Recorded(one_group), run=trainer(accumulate_grad_batches=2))  # steps of 2 batches and of 1, in turn
    assert last_group() == RUNGS.tolist()
    first, second, third = (loss.item() for loss in losses[:3])
    assert found.curve.losses[:2].tolist() == pytest.approx([(first + second) / 2, third])


def test_gradients_are_clipped():
    class Moves(Spying):
        def step(self, closure=None):
            before = self.param_groups[0]["params"][0].item()
            super().step(closure)
            moved.append(before - self.param_groups[0]["params"][0].item())

    moved = []
    search(Sum(partial(one_group, optimizer=Moves)), run=trainer(gradient_clip_val=0.1), max_lr=4)
    # Two weights whose equal gradients are always above the limit.
    assert moved == pytest.approx(0.1 / 2**0.5 * np.geomspace(1e-3, 4, 12), abs=1e-6)


def test_steps_run_in_the_trainers_precision():
    class Multiplied(Sum):
        def loss(self, batch):
            kinds.add((self.body @ self.head).dtype)
            return super().loss(batch)

    kinds = set()
    search(Multiplied(one_group), run=trainer(precision="bf16-mixed"))
    assert kinds == {torch.bfloat16}
    assert last_group() == RUNGS.tolist()


def steps_until_it_stops(losses):
    """The steps of a search in which the losses are these, whatever the rules make of them."""

    class Told(Sum):
        def loss(self, batch):
            return batch[0].sum() + 0 * (self.body + self.head).sum()

        def train_dataloader(self):
            return BatchLoader(torch.tensor(losses), batch_size=1)

    with suppress(ValueError):
        search(Told(one_group), num_steps=len(losses), min_lr=1e-9)
    return len(USED)


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        pytest.param([4.0] + [1.0] * 11 + [46.0, 1.0, 1.0], 13, id="beyond 4 x its best"),
        pytest.param([4.0] + [1.0] * 11 + [41.0, 1.0, 1.0], 15, id="below 4 x its best"),
        pytest.param([4.0, 1, 1, 1, 40, *[1.0] * 10], 15, id="noise in the first 10"),
        pytest.param([4.0, 1, 1, 1, *[1e6] * 11], 11, id="diverged in the first 10"),
        pytest.param([4.0] + [1.0] * 11 + [float("inf"), 1.0], 13, id="infinite"),
        pytest.param([4.0, 1, 1, float("nan"), *[1.0] * 11], 4, id="not a number in the first 10"),
    ],
)
def test_it_stops_once_the_smoothed_loss_has_diverged(losses, steps):
    assert steps_until_it_stops(losses) == steps


def test_the_loss_is_that_before_each_step():
    curve = search(Sum(one_group)).curve
    assert curve.losses[0] == pytest.approx((5 + 0.08) ** 2)  # the first batch's mean is -0.08
    assert curve.lrs.tolist() == RUNGS.tolist()


def test_on_valid_the_loss_is_that_of_one_held_out_batch_after_each_step():
    losses = search(on="valid", min_lr=0.01, max_lr=0.04).curve.losses
    first = 5 - 2 * 0.01 * 2 * (5 + 0.08)  # the sum after a step of 0.01
    assert losses[0] == pytest.approx((first + 8) ** 2)  # the held-out batch's mean


@pytest.mark.parametrize(
    ("model", "run", "message"),
    [
        (Sum(one_group), {"limit_val_batches": 0}, r"on=valid needs a validation loader.*choose on=train"),
        (Sum(two_optimizers), {}, "on=valid needs automatic optimization"),
    ],
)
def test_on_valid_says_what_it_needs(model, run, message):
    with pytest.raises(ValueError, match=message):
        search(model, run=trainer(**run), on="valid")


def test_repeats_see_other_batches_and_suggest_the_median():
    torch.manual_seed(2)  # of these repeats the second has the median
    found = search(classifier(), TinyImages(), repeats=3, rule="steep")
    assert len({tuple(curve.losses) for curve in found.curves}) == 3
    low, median, high = sorted(RULES["steep"](curve) for curve in found.curves)
    assert low < median < high
    assert found.suggestion == pytest.approx(median, rel=0.005)  # three digits
    assert found.spread["steep"] == pytest.approx(high / low)
    assert f"x {found.spread['steep']:.2f} over 3 repeats  <- suggested" in found.table()
