from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.nn.parallel import DistributedDataParallel

from src.callbacks.freezing import Freezing
from tests.support.tiny import AtBatch, TinyImages, classifier, save_after, trainer

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
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        Freezing(epochs=-1)


def test_a_model_that_cannot_be_frozen_is_named():
    with pytest.raises(TypeError, match=r"needs a model with freeze_body\(\), LightningModule has none"):
        Freezing(epochs=1).setup(trainer(), pl.LightningModule(), "fit")


def test_ddp_must_expect_parameters_without_gradients():
    run = trainer()
    wrapped = DistributedDataParallel.__new__(DistributedDataParallel)  # without a process group
    torch.nn.Module.__init__(wrapped)
    wrapped.find_unused_parameters = False
    run.strategy.model = wrapped
    with pytest.raises(ValueError, match="ddp_find_unused_parameters_true"):
        Freezing(epochs=1).on_train_start(run, classifier())
