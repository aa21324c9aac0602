from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.nn.parallel import DistributedDataParallel

from src.callbacks.fine_tuning import FineTuning
from src.callbacks.loader_state import LoaderState
from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.random_state import RandomState
from src.models.images.fast_net import FastNet
from tests.support.tiny import ONE_CYCLE, AtBatch, TinyImages, classifier, labelled_images, save_after, trainer

Freezing = partial(FineTuning, groups=[1, None], lr=None, lr_ratio=None, keep_statistics=False)
SGD = partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.5)
ADAMW = partial(torch.optim.AdamW, weight_decay=0.5)
FREE_IN_A_FROZEN_BODY = {f"net.stages.{stage}.1.{kind}" for stage in (0, 1) for kind in ("weight", "bias")}
HEAD = {"net.head.weight", "net.head.bias"}


def weights():
    return AtBatch(lambda trainer, model: {name: p.detach().clone() for name, p in model.named_parameters()})


def is_frozen():
    return AtBatch(lambda trainer, model: not model.net.stages[0][0].weight.requires_grad)


def moved(before, after):
    """The names of the weights that differ in any bit."""
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("optimizer", [SGD, ADAMW])
@pytest.mark.parametrize("foreach", [False, True])
def test_only_the_head_and_the_norms_move_while_the_body_is_frozen(optimizer, foreach):
    seen = weights()
    model = classifier(optimizer=partial(optimizer, foreach=foreach))
    trainer(2, Freezing(epochs=1), seen).fit(model, TinyImages())
    assert moved(seen.values[0], seen.values[3]) == FREE_IN_A_FROZEN_BODY | HEAD


def test_everything_moves_afterwards():
    seen = weights()
    trainer(2, Freezing(epochs=1), seen).fit(classifier(), TinyImages())
    assert moved(seen.values[3], seen.values[5]) == set(seen.values[0])


@pytest.mark.parametrize("keep", [False, True])
def test_statistics_move_unless_they_are_kept(keep):
    statistics = AtBatch(lambda trainer, model: model.net.stages[0][1].running_mean.clone())
    trainer(2, Freezing(epochs=1, keep_statistics=keep), statistics, val_check_interval=1).fit(
        classifier(), TinyImages()
    )
    assert torch.equal(statistics.values[0], statistics.values[-1]) == keep


def test_a_net_with_kept_statistics_trains_on_what_it_answers_at_rest():
    images, _ = labelled_images(4)
    outputs = AtBatch(lambda trainer, model: (model(images), model.eval()(images), model.train())[:2])
    run = trainer(1, Freezing(epochs=0, keep_statistics=True), outputs)
    run.fit(classifier(), TinyImages())
    training, rest = outputs.values[0]
    assert torch.equal(training, rest)


def test_a_frozen_body_gathers_no_momentum():
    run = trainer(1, Freezing(epochs=1))
    model = classifier(optimizer=SGD)
    run.fit(model, TinyImages())
    assert run.optimizers[0].state[model.net.stages[0][0].weight] == {}


def test_the_optimizer_holds_every_parameter_from_the_beginning():
    held = AtBatch(lambda trainer, model: sum(len(group["params"]) for group in trainer.optimizers[0].param_groups))
    model = classifier()
    trainer(1, Freezing(epochs=1), held).fit(model, TinyImages())
    assert held.values[0] == len(list(model.parameters()))


def test_no_epoch_frozen_is_training_as_ever():
    frozen = is_frozen()
    trainer(1, Freezing(epochs=0), frozen).fit(classifier(), TinyImages())
    assert frozen.values == [False] * 3


def test_a_model_leaves_training_unfrozen():
    model = classifier()
    trainer(1, Freezing(epochs=3)).fit(model, TinyImages())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("stop_after", "frozen_then"), [(1, [True, True, False]), (4, [False, False])])
def test_a_run_resumed_within_an_epoch_is_frozen_as_that_epoch_was(tmp_path, stop_after, frozen_then):
    path = tmp_path / "middle.ckpt"
    trainer(2, Freezing(epochs=1), save_after(stop_after, path)).fit(classifier(), TinyImages())
    frozen = is_frozen()
    resumed = trainer(2, Freezing(epochs=1), frozen)
    resumed.fit(classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    assert frozen.values[: len(frozen_then)] == frozen_then


def test_a_negative_number_of_epochs_is_refused():
    with pytest.raises(ValueError, match=r"epochs must not be negative, got \[-1\]"):
        Freezing(epochs=-1)


def test_a_model_that_cannot_be_frozen_is_named():
    with pytest.raises(TypeError, match=r"needs a model with train_groups\(\), LightningModule has none"):
        Freezing(epochs=1).setup(trainer(), pl.LightningModule(), "fit")


def test_ddp_must_expect_parameters_without_gradients():
    run = trainer()
    wrapped = DistributedDataParallel.__new__(DistributedDataParallel)  # without a process group
    torch.nn.Module.__init__(wrapped)
    wrapped.find_unused_parameters = False
    run.strategy.model = wrapped
    with pytest.raises(ValueError, match="ddp_find_unused_parameters_true"):
        Freezing(epochs=1).on_train_start(run, classifier())


# With stages: FastNet has three layer groups.


def staged(**changes):
    choices = {"epochs": [1, 2], "groups": [1, 2, None], "lr": [1.0, 0.5, 0.1], "lr_ratio": [1.0, 0.1, 0.01]}
    return FineTuning(**({"keep_statistics": False} | choices | changes))


def fast_net(**changes):
    torch.manual_seed(0)
    net = partial(FastNet, widths=[3, 4, 5], depths=[1, 1, 1], norm_momentum=0.1)
    return classifier(**({"net": net, "optimizer": SGD, "scheduler": ONE_CYCLE, "lr": 0.2, "lr_ratio": 0.5} | changes))


def rates():
    """The lr of the first and of the last group, and the momentum, before each step."""
    return AtBatch(lambda trainer, model: state_of(trainer.optimizers[0].param_groups))


def state_of(groups):
    return [groups[0]["lr"], groups[-1]["lr"], groups[0]["momentum"]]


def test_more_groups_train_from_stage_to_stage():
    frozen = AtBatch(lambda trainer, model: sum(not p.requires_grad for p in model.net.parameters()))
    trainer(4, staged(), frozen).fit(fast_net(), TinyImages())
    assert frozen.values == [3] * 3 + [2] * 6 + [0] * 3  # convolutions of the body


def test_each_stage_runs_the_schedule_at_its_own_peak_and_ratio():
    seen = rates()
    trainer(4, staged(), seen).fit(fast_net(), TinyImages())
    expected = []
    for length, peak, ratio in ((3, 0.2, 1.0), (6, 0.1, 0.1), (3, 0.02, 0.01)):
        optimizer = SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in (peak * ratio, peak)], lr=1)
        schedule = ONE_CYCLE(optimizer, length)
        for _ in range(length):
            expected.append(state_of(optimizer.param_groups))
            optimizer.step()
            schedule.step()
    assert seen.values == [pytest.approx(pair) for pair in expected]


def test_without_rates_the_models_schedule_runs_once_over_both_stages():
    seen, plain = rates(), rates()
    trainer(3, Freezing(epochs=1), seen).fit(fast_net(), TinyImages())
    trainer(3, plain).fit(fast_net(), TinyImages())
    assert seen.values == plain.values


@pytest.mark.parametrize("stop_after", [1, 3, 5, 9, 11])
def test_a_run_resumed_in_any_stage_ends_bit_for_bit_like_the_uninterrupted_one(tmp_path, stop_after):
    path = tmp_path / "middle.ckpt"
    whole = fast_net()
    trainer(4, staged(), RandomState(), LoaderState(), save_after(stop_after, path)).fit(whole, TinyImages())
    resumed, seen = fast_net(), rates()
    run = trainer(4, staged(), RandomState(), LoaderState(), seen)
    run.fit(resumed, TinyImages(), ckpt_path=path, weights_only=True)
    assert len(seen.values) == 12 - stop_after
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize("change", [{"lr": [1.0, 0.4, 0.1]}, {"epochs": [2, 1]}, {"lr_ratio": [1.0, 0.1, 0.1]}])
def test_a_run_is_not_resumed_with_other_stages(tmp_path, change):
    path = tmp_path / "middle.ckpt"
    trainer(4, staged(), save_after(2, path)).fit(fast_net(), TinyImages())
    with pytest.raises(ValueError, match=r"the checkpoint's stages are others .* resume with the same fine-tuning"):
        trainer(4, staged(**change)).fit(fast_net(), TinyImages(), ckpt_path=path, weights_only=True)


def test_the_finder_moves_the_peak_of_every_stage():
    found, seen = LRFinder(num_steps=12, min_lr=1e-3, max_lr=1.0), rates()
    trainer(4, staged(), found, seen).fit(fast_net(), TinyImages())
    plain = rates()
    trainer(4, staged(), plain).fit(fast_net(lr=found.suggestion), TinyImages())
    assert found.suggestion != 0.2
    assert seen.values == [pytest.approx(pair, rel=1e-9) for pair in plain.values]


def test_a_training_that_ends_before_the_last_stage_says_so(capsys):
    seen = rates()
    trainer(2, staged(), seen).fit(fast_net(), TinyImages())
    assert "trainer.max_epochs=2 ends in stage 2 of 3 of fine-tuning" in capsys.readouterr().err
    assert len(seen.values) == 6
    assert seen.values[-1][1] == pytest.approx(0.1 * 0.01)  # the schedule of the second stage ends with the training


def test_a_training_that_reaches_the_last_stage_says_nothing(capsys):
    trainer(4, staged()).fit(fast_net(), TinyImages())
    assert "stage" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": [1]}, r"groups needs a value for each of 2 stages, .*, got \[1, 2, None\]"),
        ({"lr": [1.0, 0.5]}, r"lr needs a value for each of 3 stages, .*, got \[1.0, 0.5\]"),
        ({"lr_ratio": None}, "give lr and lr_ratio both, or neither"),
        ({"groups": [0, 1, None]}, "groups must be 1 or more, or null for all"),
        ({"lr": [1.0, 0.0, 0.1]}, "lr must be positive"),
        ({"lr_ratio": [1.0, 2.0, 0.1]}, r"lr_ratio within \(0, 1\]"),
    ],
)
def test_stages_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        staged(**change)


def test_a_net_of_fewer_layer_groups_is_named():
    with pytest.raises(ValueError, match="all but 2 layer groups needs a net of 3 or more, CNNSmall has 2"):
        trainer(4, staged()).fit(classifier(scheduler=ONE_CYCLE), TinyImages())
