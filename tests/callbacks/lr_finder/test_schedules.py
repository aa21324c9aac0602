from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BaseFinetuning, ModelCheckpoint
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from src.callbacks.fine_tuning import FineTuning
from src.callbacks.loader_state import LoaderState
from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.lr_finder.peak import reference_peak
from src.callbacks.random_state import RandomState
from src.datamodules.loader import BatchLoader
from src.models.schedules import constant, cosine_restarts, flat_cosine, one_cycle
from tests.support.programs import same
from tests.support.tiny import AtBatch, TinyImages, classifier, save_after, trainer

OURS = {
    "one_cycle": partial(
        one_cycle, warmup_fraction=0.3, start_ratio=0.04, final_ratio=1e-3, momentum_low=0.85, momentum_high=0.95,
        anneal="cos",
    ),
    "flat_cosine": partial(flat_cosine, warmup_fraction=0.2, flat_fraction=0.6, final_ratio=0.01),
    "cosine_restarts": partial(cosine_restarts, num_cycles=2, cycle_mult=2.0, final_ratio=0.01),
    "constant": constant,
}  # fmt: skip


@pytest.fixture(autouse=True)
def same_nets():
    torch.manual_seed(0)


def finder(**choices):
    return LRFinder(**({"rule": "steep", "min_lr": 1e-3, "max_lr": 0.3, "num_steps": 12} | choices))


def rates():
    """The rates of all groups at each batch."""
    return AtBatch(lambda trainer, model: [[group["lr"] for group in o.param_groups] for o in trainer.optimizers])


def state_of(run):
    optimizers = [optimizer.state_dict() for optimizer in run.optimizers]
    schedulers = [config.scheduler.state_dict() for config in run.lr_scheduler_configs]
    for state in schedulers:
        state.pop("_scale_fn_ref", None)
    return {"model": run.lightning_module.state_dict(), "optimizers": optimizers, "schedulers": schedulers}


@pytest.mark.parametrize("schedule", OURS)
@pytest.mark.parametrize("optimizer", [partial(SGD, momentum=0.9), AdamW])
def test_a_training_that_finds_its_rate_is_the_one_that_was_given_it(schedule, optimizer):
    choices = {"scheduler": OURS[schedule], "optimizer": optimizer, "lr_ratio": 0.1}
    found, seen, run = finder(), rates(), trainer(2, num_sanity_val_steps=2)
    run.callbacks += [found, seen]
    pl.seed_everything(0, verbose=False)
    run.fit(model := classifier(**choices), TinyImages())
    given, seen_there = trainer(2, reference := rates()), reference
    pl.seed_everything(0, verbose=False)
    given.fit(classifier(**(choices | {"lr": found.found[0]})), TinyImages())
    assert model.lr == found.found[0]
    assert seen.values == seen_there.values
    assert same(state_of(run), state_of(given))


def test_a_rate_that_is_only_looked_at_is_not_applied():
    seen = rates()
    trainer(1, finder(apply=False), seen).fit(model := classifier(lr=0.07), TinyImages())
    assert (model.lr, seen.values) == (0.07, [[[0.07] * len(seen.values[0][0])]] * 3)


def sequential(optimizer, lr):
    return SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=2), ExponentialLR(optimizer, 0.5)], [2])


# As their users write them: from the optimizer and the rate.
THEIRS = {
    "none": None,
    "OneCycleLR": lambda optimizer, lr: OneCycleLR(optimizer, [0.1 * lr, lr], total_steps=7),
    "LambdaLR warm-up": lambda optimizer, lr: LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4)),
    "CosineAnnealingWarmRestarts": lambda optimizer, lr: CosineAnnealingWarmRestarts(optimizer, 2, 2),
    "CosineAnnealingLR": lambda optimizer, lr: CosineAnnealingLR(optimizer, 6),
    "ReduceLROnPlateau": lambda optimizer, lr: ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1.0),
    "SequentialLR": sequential,
    "CyclicLR": lambda optimizer, lr: CyclicLR(optimizer, [0.01 * lr, 0.1 * lr], [0.1 * lr, lr], step_size_up=2),
}


class Stranger(pl.LightningModule):
    """A linear regression with two groups at rates of 1 to 10; `keeps`: the name under which it keeps its rate."""

    def __init__(self, keeps, lr, schedule):
        super().__init__()
        self.body, self.head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
        if keeps == "hparams.lr":
            self.save_hyperparameters({"lr": lr})
        elif keeps is not None:
            setattr(self, keeps, lr)
        self.own_lr = lambda: self.hparams.lr if keeps == "hparams.lr" else getattr(self, keeps) if keeps else lr
        self.schedule = THEIRS[schedule]

    def configure_optimizers(self):
        lr = self.own_lr()
        groups = [{"params": self.body.parameters(), "lr": 0.1 * lr}, {"params": self.head.parameters()}]
        optimizer = SGD(groups, lr=lr, momentum=0.5)
        if self.schedule is None:
            return optimizer
        scheduler = self.schedule(optimizer, lr)
        interval = "epoch" if isinstance(scheduler, ReduceLROnPlateau) else "step"
        return [optimizer], [{"scheduler": scheduler, "interval": interval, "monitor": "loss"}]

    def training_step(self, batch, batch_idx):
        loss = (self.head(self.body(batch[0])) - 3.0).square().mean()
        self.log("loss", loss)
        return loss

    def train_dataloader(self):
        return BatchLoader(torch.linspace(-1, 1, 12).view(4, 3), batch_size=2, shuffle=True)


KEEPS = ["lr", "learning_rate", "hparams.lr", None]


def trained(keeps, schedule, lr, *callbacks, epochs=3):
    torch.manual_seed(0)
    model = Stranger(keeps, lr, schedule)
    run, seen = trainer(epochs, *callbacks), rates()
    run.callbacks.append(seen)
    run.fit(model)
    return run, seen.values


@pytest.mark.parametrize("keeps", KEEPS)
@pytest.mark.parametrize("schedule", THEIRS)
def test_a_strangers_schedule_is_as_if_built_from_the_found_rate(schedule, keeps):
    run, seen = trained(keeps, schedule, 1e-3, found := finder())
    reference, seen_there = trained(keeps, schedule, found.found[0])
    assert [step for [step] in seen] == [pytest.approx(step, rel=1e-12) for [step] in seen_there]
    for name in ("base_lrs", "max_lrs", "_last_lr"):
        ours, theirs = (getattr(r.lr_scheduler_configs[0].scheduler, name, []) if schedule != "none" else []
                        for r in (run, reference))  # fmt: skip
        assert ours == pytest.approx(theirs, rel=1e-12), name
    for group, other in zip(run.optimizers[0].param_groups, reference.optimizers[0].param_groups, strict=True):
        for name in {"lr", "initial_lr", "max_lr", "min_lr"} & other.keys():
            assert group[name] == pytest.approx(other[name], rel=1e-12), name


@pytest.mark.parametrize("keeps", KEEPS)
def test_the_found_rate_is_kept_under_the_strangers_own_name(keeps):
    run, _ = trained(keeps, "none", 1e-3, found := finder())
    assert run.optimizers[0].param_groups[-1]["lr"] == found.found[0]
    if keeps is not None:
        assert run.lightning_module.own_lr() == found.found[0]


def test_a_module_whose_peak_is_a_multiple_of_its_lr_gets_the_found_rate_as_its_peak():
    class Tenfold(Stranger):
        def configure_optimizers(self):
            optimizer = SGD(self.parameters(), lr=self.lr)
            return [optimizer], [OneCycleLR(optimizer, 10 * self.lr, total_steps=9)]

    model, found = Tenfold("lr", 1e-3, "none"), finder()
    run = trainer(1, found)
    run.fit(model)
    assert model.lr == pytest.approx(found.found[0] / 10, rel=1e-12)
    assert run.optimizers[0].param_groups[0]["max_lr"] == pytest.approx(found.found[0], rel=1e-12)


def test_a_module_whose_lr_is_a_property_is_scaled():
    class ReadOnly(Stranger):
        lr = property(lambda self: self.optimizers().param_groups[-1]["lr"])

    run = trainer(1, found := finder())
    run.fit(ReadOnly(None, 1e-3, "OneCycleLR"))
    assert reference_peak(run) == pytest.approx(found.found[0], rel=1e-12)


@pytest.mark.parametrize("schedule", OURS)
def test_a_search_at_a_later_epoch_scales_the_running_schedule(schedule):
    seen, reference, found = rates(), rates(), finder(epochs=[1])
    choices = {"scheduler": OURS[schedule], "lr": 1e-3, "lr_ratio": 0.1}
    trainer(3, found, seen).fit(classifier(**choices), TinyImages())
    trainer(3, reference).fit(classifier(**choices), TinyImages())
    factor = found.found[1] / 1e-3
    assert seen.values[:3] == reference.values[:3]
    expected = [[rate * factor for rate in groups] for [groups] in reference.values[3:]]
    assert [groups for [groups] in seen.values[3:]] == [pytest.approx(groups, rel=1e-12) for groups in expected]


TRAINED: list[int] = []  # how many parameters have a gradient, at each step of a Counting optimizer, searches included


class Counting(SGD):
    def step(self, closure=None):
        loss = super().step(closure)
        TRAINED.append(sum(p.grad is not None for group in self.param_groups for p in group["params"]))
        return loss


class Pupil(Stranger):
    """Can be frozen by our callback; its optimizer gets what is not yet frozen when it is made, as Lightning's asks."""

    def configure_optimizers(self):
        return Counting([p for p in self.parameters() if p.requires_grad], lr=self.lr)

    def train_groups(self, number):
        self.body.requires_grad_(number is None)


class Unfreezing(BaseFinetuning):
    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.body)

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.body, optimizer)


FREEZING = partial(FineTuning, epochs=1, groups=[1, None], lr=None, lr_ratio=None, keep_statistics=False)


@pytest.mark.parametrize("unfreezing", [FREEZING, Unfreezing])
@pytest.mark.parametrize("finder_first", [True, False])
def test_a_search_after_an_unfreezing_trains_all_whichever_is_listed_first(unfreezing, finder_first):
    TRAINED.clear()
    found = finder(epochs=[0, 1])
    run = trainer(2, *([found, unfreezing()] if finder_first else [unfreezing(), found]))
    run.fit(Pupil("lr", 1e-3, "none"))
    assert TRAINED == [2] * (12 + 2) + [4] * (12 + 2)  # weight and bias of the head, then of both
    assert reference_peak(run) == pytest.approx(found.found[1], rel=1e-12)


def resumable(saver, **choices):
    found = finder(**choices)
    return found, trainer(
        3, found, RandomState(), LoaderState(), saver, enable_checkpointing=isinstance(saver, ModelCheckpoint)
    )


def one_cycle_classifier():
    torch.manual_seed(0)
    return classifier(scheduler=OURS["one_cycle"], lr=1e-3, lr_ratio=0.1)


@pytest.mark.parametrize("step", [2, 3, 5, None], ids=str)
@pytest.mark.parametrize("epochs", [[0], [0, 1]])
def test_a_resumed_run_ends_like_the_uninterrupted_one(tmp_path, capsys, epochs, step):
    path = tmp_path / "step=3.ckpt"
    found, whole = resumable(
        save_after(step, path) if step else ModelCheckpoint(tmp_path, "{step}", save_top_k=-1), epochs=epochs
    )
    whole.fit(model := one_cycle_classifier(), TinyImages())
    capsys.readouterr()
    found_again, resumed = resumable(ModelCheckpoint(tmp_path, "again"), epochs=epochs)
    resumed.fit(again := one_cycle_classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    said = f"no search, the run resumes from {path}; its lr was found before: {found.found[0]:.3g}"
    assert said in capsys.readouterr().out
    assert again.lr == model.lr == found.found[0]
    assert found_again.found == found.found
    assert same(state_of(resumed), state_of(whole))


def test_a_run_resumed_from_a_checkpoint_without_a_search_keeps_its_rate(tmp_path, capsys):
    path = tmp_path / "saved.ckpt"
    trainer(3, save_after(2, path)).fit(one_cycle_classifier(), TinyImages())
    found, run = resumable(ModelCheckpoint(tmp_path, "again"))
    run.fit(model := one_cycle_classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    assert (model.lr, found.found) == (1e-3, {})
    assert capsys.readouterr().out == f"lr finder: no search, the run resumes from {path}; its lr stays\n"


def test_a_search_that_stops_cannot_resume(tmp_path):
    trainer(3, save_after(2, tmp_path / "saved.ckpt")).fit(one_cycle_classifier(), TinyImages())
    with pytest.raises(ValueError, match=r"lr_finder\.stop searches before a training: leave out resume"):
        trainer(3, finder(stop=True)).fit(one_cycle_classifier(), TinyImages(), ckpt_path=tmp_path / "saved.ckpt")
