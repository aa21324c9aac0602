import pytest
import pytorch_lightning as pl
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CyclicLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from src.callbacks.lr_finder.peak import (
    RatesAt,
    Schedule,
    epochs_left,
    peak_lrs,
    read_schedule,
    reference_peak,
    scale_lrs,
)
from src.callbacks.search.training_steps import _parameter_ids
from src.datamodules.loader import BatchLoader
from tests.support.tiny import AtBatch, trainer


def optimizer_of(*rates):
    return SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], momentum=0.5)


def run_with(optimizer, scheduler=None):
    """A trainer as it is within fit, with this optimizer."""
    module, run = pl.LightningModule(), trainer()
    module.configure_optimizers = lambda: ([optimizer], [scheduler] if scheduler else [])
    module.trainer = run
    run.strategy.connect(module)
    run.strategy.setup_optimizers(run)
    return run


SCHEDULES = {
    "none": lambda o: None,
    "one-cycle": lambda o: OneCycleLR(o, [0.2, 3.0], total_steps=9),
    "cyclic": lambda o: CyclicLR(o, [0.01, 0.1], [0.2, 3.0]),
    "warm-up": lambda o: LambdaLR(o, lambda step: (step + 1) / 4),
    "in turn": lambda o: SequentialLR(o, [LinearLR(o, 0.1), ConstantLR(o)], [5]),
}
PEAKS = {
    "none": [0.4, 0.5],
    "one-cycle": [0.2, 3.0],
    "cyclic": [0.2, 3.0],
    "warm-up": [0.4, 0.5],
    "in turn": [0.4, 0.5],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_peak_is_what_the_schedule_rises_to_or_multiplies(schedule):
    optimizer = optimizer_of(0.4, 0.5)
    run = run_with(optimizer, SCHEDULES[schedule](optimizer))
    assert peak_lrs(run) == {optimizer: PEAKS[schedule]}
    assert reference_peak(run) == PEAKS[schedule][1]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_scaled_schedule_has_a_scaled_peak(schedule):
    optimizer = optimizer_of(0.4, 0.5)
    run = run_with(optimizer, scheduler := SCHEDULES[schedule](optimizer))
    scale_lrs(run, 10.0)
    assert scheduler is None or scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    assert peak_lrs(run)[optimizer] == pytest.approx([10 * peak for peak in PEAKS[schedule]])


def test_groups_keep_their_ratio_at_any_peak():
    optimizer = optimizer_of(0.1, 0.5)
    rates = RatesAt(run_with(optimizer), Schedule(1.0, {optimizer: [{}] * len(optimizer.param_groups)}))
    rates.peak = 2.0
    rates(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 2.0]


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    rate = torch.tensor(0.5)
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate, foreach=True)
    rates = RatesAt(run_with(optimizer), Schedule(1.0, {optimizer: [{}] * len(optimizer.param_groups)}))
    rates.peak = 2.0
    rates(optimizer)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate == 2.0


def test_momentum_is_what_it_is_at_the_peak():
    optimizer = optimizer_of(0.1, 0.5)
    RatesAt(run_with(optimizer), Schedule(1.0, {optimizer: [{"momentum": 0.8}, {"momentum": 0.7}]}))(optimizer)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.8, 0.7]


def test_a_last_group_without_a_rate_is_refused():
    with pytest.raises(ValueError, match=r"last parameter group's lr must be positive.*got 0.0"):
        RatesAt(run_with(optimizer_of(0.1, 0.0)), Schedule(1.0, {}))


def test_optimizers_of_other_parameters_differ_in_what_they_hold():
    first, second = optimizer_of(0.1, 0.2), optimizer_of(0.1, 0.2)
    assert _parameter_ids([first]) == _parameter_ids([first])
    assert _parameter_ids([first]) != _parameter_ids([second])


def test_every_optimizer_follows_the_first():
    first, second = optimizer_of(0.5), optimizer_of(0.1, 0.2)
    run = run_with(first)
    run.strategy.optimizers = [first, second]
    scale_lrs(run, 10.0)
    assert peak_lrs(run) == {first: [5.0], second: [1.0, 2.0]}
    assert reference_peak(run) == 5.0


class Scheduled(pl.LightningModule):
    """A weight, an optimizer with lr 0.5, and a scheduler; keeps what is to come at the start of each epoch."""

    def __init__(self, schedule, **settings):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.schedule, self.settings, self.seen = schedule, settings, []

    def configure_optimizers(self):
        optimizer = SGD(self.parameters(), lr=0.5, momentum=0.6)
        return [optimizer], [{"scheduler": self.schedule(optimizer), **self.settings}]

    def training_step(self, batch, batch_idx):
        return self.weight.sum()

    def on_train_epoch_start(self):
        schedule = read_schedule(self.trainer)
        momentum = schedule.momenta[self.trainer.optimizers[0]][0]["momentum"]
        self.seen.append((schedule.mean, momentum, epochs_left(self.trainer)))

    def train_dataloader(self):
        return BatchLoader(torch.zeros(4), batch_size=1)


def to_come(schedule, epochs=2, settings=None, **choices):
    """(mean, momentum at the peak, epochs) at the start of each epoch of four steps."""
    module = Scheduled(schedule, **(settings or {"interval": "step"}))
    trainer(epochs, **choices).fit(module)
    return module.seen


def test_a_constant_rate_is_at_its_peak_all_the_time():
    assert to_come(lambda o: LambdaLR(o, lambda step: 1.0)) == [(1.0, 0.6, 2.0), (1.0, 0.6, 1.0)]


def test_the_mean_is_that_of_the_steps_to_come():
    # 8/8, 7/8, ..., 1/8: 36 / 64; from the fifth step on 4/8, ..., 1/8: 10 / 32
    means = [mean for mean, _, _ in to_come(lambda o: LambdaLR(o, lambda step: (8 - step) / 8))]
    assert means == [36 / 64, 10 / 32]


def test_a_schedule_by_epochs_changes_with_the_epochs():
    halved = to_come(lambda o: LambdaLR(o, lambda epoch: 0.5**epoch), settings={"interval": "epoch"})
    assert [mean for mean, _, _ in halved] == [0.75, 0.5]


def test_accumulated_batches_are_one_step():
    steps = to_come(lambda o: LambdaLR(o, lambda step: (4 - step) / 4), accumulate_grad_batches=2)
    assert [(mean, epochs) for mean, _, epochs in steps] == [(10 / 16, 2.0), (3 / 8, 1.0)]


def test_one_cycles_momentum_is_low_at_its_peak():
    schedule = lambda o: OneCycleLR(o, 0.5, total_steps=8, base_momentum=0.3, max_momentum=0.9)  # noqa: E731
    assert to_come(schedule)[0][1] == pytest.approx(0.3, abs=0.02)  # no step is exactly at the peak


def test_a_plateau_is_taken_to_stay():
    settings = {"interval": "epoch", "monitor": "loss", "strict": False}
    with pytest.warns(RuntimeWarning, match="conditioned on metric loss"):
        seen = to_come(ReduceLROnPlateau, settings=settings)
    assert [mean for mean, _, _ in seen] == [1.0, 1.0]


def test_a_training_of_unknown_length_is_taken_to_stay():
    module = Scheduled(lambda o: LambdaLR(o, lambda step: 1 / (1 + step)), interval="step")
    run = trainer(-1)
    stop = AtBatch(lambda run, module: setattr(run, "should_stop", True))
    run.callbacks.append(stop)
    run.fit(module)
    assert module.seen == [(1.0, 0.6, 1.0)]


def test_looking_ahead_leaves_the_schedule_where_it_is():
    rates = AtBatch(lambda run, module: run.optimizers[0].param_groups[0]["lr"])
    module = Scheduled(lambda o: LambdaLR(o, lambda step: (8 - step) / 8), interval="step")
    trainer(2, rates).fit(module)
    assert rates.values == [0.5 * (8 - step) / 8 for step in range(8)]
