from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from src.models.base import named_arguments
from src.models.images.mlp import MLP
from src.models.schedules import flat_cosine
from tests.support.tiny import AtBatch, TinyImages, built, classifier, trainer

FLAT_COSINE = partial(flat_cosine, warmup_fraction=0.0, flat_fraction=0.5, final_ratio=0.0)


class ThreeGroups(nn.Module):
    """All parameters zero, so all alike in value."""

    def __init__(self, in_chans, num_classes):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4))
        self.second = nn.Conv2d(4, 7, 3)
        self.head = nn.Linear(7, num_classes)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images):
        return self.head(self.second(self.first(images)).mean((2, 3)))


def lr_at_each_batch():
    return AtBatch(lambda trainer, model: trainer.optimizers[0].param_groups[0]["lr"])


def with_trainer(model, **attributes):
    """The model with a stand-in for a trainer."""
    model._trainer = SimpleNamespace(**attributes)
    return model


def test_named_arguments_gives_what_a_function_names():
    def function(vocab_size, *, layers): ...

    assert named_arguments(function, {"vocab_size": 5, "total_steps": 7}) == {"vocab_size": 5}


def test_named_arguments_gives_all_to_a_function_with_kwargs():
    def function(name, **others): ...

    assert named_arguments(function, {"vocab_size": 5}) == {"vocab_size": 5}


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"lr_ratio": 0.0}, {"lr_ratio": 2.0}])
def test_a_rate_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        classifier(**wrong)


def test_weight_decay_spares_biases_and_norms():
    model = built(classifier(net=ThreeGroups))
    names = {id(parameter): name for name, parameter in model.net.named_parameters()}
    groups = model.make_optimizer(model.parameter_groups(), lr=0.1).param_groups
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {"first.0.weight", "second.weight", "head.weight"}


def test_parameters_equal_in_value_are_each_in_one_group():
    model = built(classifier(net=ThreeGroups))
    held = [id(p) for group in model.parameter_groups() for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.net.parameters())


def test_lr_is_geometric_from_the_first_layer_group_to_the_last():
    model = built(classifier(net=ThreeGroups, lr=0.5, lr_ratio=0.01))
    lrs = {id(p): group["lr"] for group in model.parameter_groups() for p in group["params"]}
    net = model.net
    assert lrs[id(net.first[0].weight)] == lrs[id(net.first[1].bias)] == pytest.approx(0.005)
    assert lrs[id(net.second.weight)] == pytest.approx(0.05)
    assert lrs[id(net.head.weight)] == pytest.approx(0.5)


def test_a_frozen_body_leaves_the_head_and_the_norms_to_train():
    model = built(classifier(net=ThreeGroups))
    model.train_groups(1)
    training = {name for name, parameter in model.net.named_parameters() if parameter.requires_grad}
    assert training == {"first.1.weight", "first.1.bias", "head.weight", "head.bias"}


def test_unfreezing_spares_what_the_net_itself_keeps_from_training():
    model = built(classifier(net=ThreeGroups))
    model.net.second.requires_grad_(False)
    model.train_groups(1)
    model.train_groups(None)
    frozen = {name for name, parameter in model.net.named_parameters() if not parameter.requires_grad}
    assert frozen == {"second.weight", "second.bias"}


def test_more_groups_train_when_more_are_asked_for():
    model = built(classifier(net=ThreeGroups))
    model.train_groups(1)
    model.train_groups(2)
    frozen = {name for name, parameter in model.net.named_parameters() if not parameter.requires_grad}
    assert frozen == {"first.0.weight", "first.0.bias"}


def test_freezing_needs_more_layer_groups_than_train():
    model = built(classifier(net=lambda in_chans, num_classes: nn.Sequential(nn.Flatten(), nn.Linear(60, num_classes))))
    with pytest.raises(
        ValueError, match="all but 1 layer groups needs a net of 2 or more, Sequential has 1; null trains"
    ):
        model.train_groups(1)
    with pytest.raises(ValueError, match="all but 3 layer groups needs a net of 4 or more, ThreeGroups has 3"):
        built(classifier(net=ThreeGroups)).train_groups(3)


def test_a_torch_scheduler_steps_with_the_optimizer():
    lrs = lr_at_each_batch()
    trainer(1, lrs).fit(classifier(lr=2.0, scheduler=partial(CosineAnnealingLR, T_max=2)), TinyImages())
    assert lrs.values == pytest.approx([2.0, 1.0, 0.0])


def test_reduce_on_plateau_follows_the_validation_loss():
    lrs = lr_at_each_batch()
    # No loss falls by 99 %, so every validation but the first is one without progress.
    scheduler = partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=0.99)
    trainer(3, lrs).fit(classifier(lr=0.4, scheduler=scheduler), TinyImages())
    assert lrs.values == pytest.approx([0.4] * 6 + [0.2] * 3)


def test_reduce_on_plateau_cannot_wait_for_a_maximum():
    with pytest.raises(ValueError, match="its mode must be min, got max"):
        trainer().fit(classifier(scheduler=partial(ReduceLROnPlateau, mode="max")), TinyImages())


def test_a_schedule_gets_the_number_of_steps():
    model = classifier(scheduler=FLAT_COSINE)
    run = trainer(5, accumulate_grad_batches=2)
    run.fit(model, TinyImages())
    assert model.schedule_steps == 5 * 2 == run.global_step  # 3 batches are 2 steps


def test_an_endless_training_has_no_schedule():
    model = classifier(scheduler=FLAT_COSINE)
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs, got inf steps"):
        trainer(-1).fit(model, TinyImages())


def test_the_net_is_built_once():
    model = built()
    net = model.net
    model.configure_model()
    assert model.net is net


@pytest.mark.filterwarnings("ignore:.*script_method.* is deprecated:DeprecationWarning")  # torch's compiler's own
def test_compile_keeps_the_names_of_the_weights():
    assert built(classifier(compile=True)).state_dict().keys() == built().state_dict().keys()


def test_a_schedule_that_ends_before_the_training_is_an_error_that_says_so():
    model = classifier(scheduler=FLAT_COSINE)
    shorten = AtBatch(lambda trainer, model: setattr(model, "schedule_steps", 2))
    run = trainer()
    run.callbacks.append(shorten)
    with pytest.raises(ValueError, match="2 steps long and has ended before the training"):
        run.fit(model, TinyImages())


@pytest.mark.parametrize(("precision", "algorithm"), [("bf16-mixed", None), ("32-true", None), ("bf16-mixed", "value")])
def test_gradients_are_clipped_for_a_fused_optimizer_in_any_precision(precision, algorithm):
    def largest(trainer, model):
        gradients = [p.grad for p in model.parameters()]
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        return float(norm if algorithm is None else max(g.abs().max() for g in gradients))

    seen, fused = AtBatch(largest, "end"), partial(torch.optim.AdamW, fused=True)
    clip = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm}
    trainer(1, seen, precision=precision, **clip).fit(classifier(optimizer=fused), TinyImages())
    assert seen.values == pytest.approx([1e-3] * 3, rel=1e-2)


def test_a_net_for_other_data_is_an_error_that_says_so():
    def net(vocab_size, *, size):
        raise AssertionError

    with pytest.raises(ValueError, match=r"net does not fit ImageClassifier and its data, missing .*'vocab_size'"):
        built(classifier(net=partial(net, size=3)))


def test_compile_compiles_the_net_and_is_not_the_default(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **choices: compiled.append(module))
    built()
    assert compiled == []
    model = built(classifier(compile=True))
    assert compiled == [model.net]


@pytest.mark.parametrize(("validates_every", "frequency"), [(1, 1), (3, 3), (None, 1)])
def test_reduce_on_plateau_steps_as_often_as_the_training_validates(validates_every, frequency):
    model = built(classifier(scheduler=ReduceLROnPlateau))
    with_trainer(model, check_val_every_n_epoch=validates_every, ckpt_path=None)
    settings = model.configure_optimizers()["lr_scheduler"]
    assert (settings["interval"], settings["frequency"], settings["monitor"]) == ("epoch", frequency, "val/loss")


@pytest.mark.parametrize("steps", [0, float("inf")])
def test_a_schedule_needs_one_step_or_more(steps):
    model = with_trainer(built(classifier(scheduler=FLAT_COSINE)), estimated_stepping_batches=steps, ckpt_path=None)
    with pytest.raises(ValueError, match=f"got {steps} steps"):
        model.configure_optimizers()


def test_a_training_of_one_step_has_a_schedule():
    model = with_trainer(built(classifier(scheduler=FLAT_COSINE)), estimated_stepping_batches=1.0, ckpt_path=None)
    model.configure_optimizers()
    assert model.schedule_steps == 1


@pytest.mark.parametrize(("value", "scaler", "own"), [(None, None, True), (0.5, object(), True), (0.5, None, False)])
def test_lightning_clips_where_there_is_nothing_to_clip_or_a_scaler(monkeypatch, value, scaler, own):
    calls = []
    monkeypatch.setattr("src.models.base.Precision.clip_gradients", lambda *arguments: calls.append("precision"))
    model = with_trainer(built(), precision_plugin=SimpleNamespace(scaler=scaler))
    model.clip_gradients = lambda *arguments: calls.append("lightning")
    model.configure_gradient_clipping(None, value)
    assert calls == ["lightning" if own else "precision"]


@pytest.mark.parametrize(("every", "logged"), [(2, [1, 3, 4]), (3, [2, 4]), (0, [4]), (50, [4])])
def test_the_loss_is_logged_every_so_many_steps_and_at_the_last_batch(every, logged):
    model, calls = built(), []
    model.log = lambda name, loss, **choices: calls.append((name, loss, choices))
    for step in range(5):
        with_trainer(model, log_every_n_steps=every, global_step=step, is_last_batch=step == 4).log_loss(step, 7)
    assert [loss for _, loss, _ in calls] == logged
    choices = {"on_step": True, "on_epoch": False, "batch_size": 7, "sync_dist": True}
    assert calls[-1] == ("train/loss", 4, choices)


def test_a_net_of_one_layer_group_has_the_peak_lr():
    net = partial(MLP, image_size=[6, 5], widths=[], relu=True, dropout=0.0)
    model = built(classifier(net=net, lr=0.5, lr_ratio=0.01))
    assert [group["lr"] for group in model.parameter_groups()] == [0.5, 0.5]


def test_of_two_layer_groups_the_first_has_the_lowest_lr_and_the_last_the_peak():
    net = partial(MLP, image_size=[6, 5], widths=[4], relu=True, dropout=0.0)
    model = built(classifier(net=net, lr=0.5, lr_ratio=0.01))
    assert [group["lr"] for group in model.parameter_groups()] == pytest.approx([0.005, 0.005, 0.5, 0.5])


def test_no_parameter_group_is_empty():
    model = built(classifier(net=lambda in_chans, num_classes: nn.Sequential(nn.Linear(60, 3, bias=False))))
    assert [len(group["params"]) for group in model.parameter_groups()] == [1]
