import pytest
import pytorch_lightning as pl
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
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
    move_peak,
    peak_lrs,
    read_schedule,
    reference_peak,
    scale_lrs,
    set_module_lr,
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


def test_the_schedule_ahead_is_that_of_the_last_parameter_group():
    class TwoGroups(Scheduled):
        def configure_optimizers(self):
            groups = [{"params": [torch.nn.Parameter(torch.ones(1))]}, {"params": [self.weight]}]
            optimizer = SGD(groups, lr=0.5, momentum=0.6)
            return [optimizer], [{"scheduler": self.schedule(optimizer), **self.settings}]

    halves = [lambda step: 1.0, lambda step: 0.5 ** (step // 4)]
    module = TwoGroups(lambda o: LambdaLR(o, halves), interval="step")
    trainer(2).fit(module)
    assert [mean for mean, _, _ in module.seen] == [0.75, 0.5]


def test_a_module_that_steps_by_hand_is_taken_to_stay():
    module = Scheduled(lambda o: LambdaLR(o, lambda step: (8 - step) / 8), interval="step")
    module.automatic_optimization = False
    trainer(1).fit(module)
    assert [mean for mean, _, _ in module.seen] == [1.0]


def test_after_the_last_step_nothing_is_to_come():
    module = Scheduled(lambda o: LambdaLR(o, lambda step: (8 - step) / 8), interval="step")
    module.on_train_end = lambda: module.seen.append(read_schedule(module.trainer).mean)
    trainer(1).fit(module)
    assert module.seen[-1] == 1.0


class Floored(Scheduled):
    """Its schedule ends at a tenth of its own lr."""

    def __init__(self, lr):
        super().__init__(lambda o: CosineAnnealingLR(o, 8, eta_min=self.lr / 10), interval="step")
        self.lr, self.weights, self.returned = lr, [self.weight], None

    def configure_optimizers(self):
        optimizer = SGD(self.weights, lr=self.lr)
        return [optimizer], [{"scheduler": self.schedule(optimizer), **self.settings}]

    def on_train_epoch_start(self):
        pass


def moved(module, at_step=0):
    """(peak, floor, the module's lr, what was returned) when the peak moves to 2.0 after so many of 8 steps."""

    def move(run, _):
        if run.global_step == at_step:
            module.returned = move_peak(run, 2.0)

    run = trainer(2, AtBatch(move))
    run.fit(module)
    floor = run.lr_scheduler_configs[0].scheduler.eta_min
    return reference_peak(run), floor, getattr(module, "lr", None), module.returned


def test_before_the_first_step_the_schedule_is_built_again_from_the_new_lr():
    assert moved(Floored(0.5)) == (pytest.approx(2.0), pytest.approx(0.2), 2.0, 2.0)


def test_later_the_schedule_is_scaled_and_the_module_keeps_its_lr():
    assert moved(Floored(0.5), at_step=3) == (pytest.approx(2.0), pytest.approx(0.05), 0.5, None)


@pytest.mark.parametrize(("lr", "before", "new"), [(0.5, None, 6.0), (0.5, 0.5, 6.0), (0.1, 0.4, 1.5), (3, 2.0, 9.0)])
def test_a_number_other_than_the_peak_moves_in_proportion(lr, before, new):
    module = Floored(lr)
    assert set_module_lr(module, 6.0, before) == pytest.approx(new)
    assert module.lr == pytest.approx(new)


def test_a_computed_lr_is_passed_over_and_learning_rate_is_set():
    class Computed(pl.LightningModule):
        lr = property(lambda self: self.learning_rate / 2)
        learning_rate = 0.5

    module = Computed()
    assert (set_module_lr(module, 2.0), module.learning_rate, module.lr) == (2.0, 2.0, 1.0)
    assert set_module_lr(pl.LightningModule(), 2.0) is None
