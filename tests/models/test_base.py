from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from src.models.base import named_arguments
from src.models.images.mlp import MLP
from src.models.schedules import flat_cosine
from tests.support.tiny import SPEC, AtBatch, TinyPictures, built, classifier, trainer

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


def trained_checkpoint(path, model=None, **facts):
    run = trainer()
    run.fit(model or classifier(), TinyPictures(**facts))
    run.save_checkpoint(path)
    return path


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


# ---- parameter groups ----


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


# ---- freezing ----


def test_a_frozen_body_leaves_the_head_and_the_norms_to_train():
    model = built(classifier(net=ThreeGroups))
    model.freeze_body()
    training = {name for name, parameter in model.net.named_parameters() if parameter.requires_grad}
    assert training == {"first.1.weight", "first.1.bias", "head.weight", "head.bias"}


def test_unfreezing_spares_what_the_net_itself_keeps_from_training():
    model = built(classifier(net=ThreeGroups))
    model.net.second.requires_grad_(False)
    model.freeze_body()
    model.unfreeze_body()
    frozen = {name for name, parameter in model.net.named_parameters() if not parameter.requires_grad}
    assert frozen == {"second.weight", "second.bias"}


def test_a_net_of_one_layer_group_cannot_be_frozen():
    model = built(classifier(net=lambda in_chans, num_classes: nn.Sequential(nn.Flatten(), nn.Linear(60, num_classes))))
    with pytest.raises(ValueError, match="two layer groups or more, Sequential has one"):
        model.freeze_body()


# ---- schedulers ----


def test_a_torch_scheduler_steps_with_the_optimizer():
    lrs = lr_at_each_batch()
    trainer(1, lrs).fit(classifier(lr=2.0, scheduler=partial(CosineAnnealingLR, T_max=2)), TinyPictures())
    assert lrs.values == pytest.approx([2.0, 1.0, 0.0])


def test_reduce_on_plateau_follows_the_validation_loss():
    lrs = lr_at_each_batch()
    # No loss falls by 99 %, so every validation but the first is one without progress.
    scheduler = partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=0.99)
    trainer(3, lrs).fit(classifier(lr=0.4, scheduler=scheduler), TinyPictures())
    assert lrs.values == pytest.approx([0.4] * 6 + [0.2] * 3)


def test_reduce_on_plateau_cannot_wait_for_a_maximum():
    with pytest.raises(ValueError, match="its mode must be min, got max"):
        trainer().fit(classifier(scheduler=partial(ReduceLROnPlateau, mode="max")), TinyPictures())


def test_a_schedule_gets_the_number_of_steps():
    model = classifier(scheduler=FLAT_COSINE)
    run = trainer(5, accumulate_grad_batches=2)
    run.fit(model, TinyPictures())
    assert model.schedule_steps == 5 * 2 == run.global_step  # 3 batches are 2 steps


def test_an_endless_training_has_no_schedule():
    model = classifier(scheduler=FLAT_COSINE)
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs, got inf steps"):
        trainer(-1).fit(model, TinyPictures())


# ---- building and loading ----


def test_the_net_is_built_once():
    model = built()
    net = model.net
    model.configure_model()
    assert model.net is net


@pytest.mark.filterwarnings("ignore:.*script_method.* is deprecated:DeprecationWarning")  # torch's compiler's own
def test_compile_keeps_the_names_of_the_weights():
    assert built(classifier(compile=True)).state_dict().keys() == built().state_dict().keys()


def test_a_checkpoint_loads_as_plain_data(tmp_path):
    saved = torch.load(trained_checkpoint(tmp_path / "a.ckpt"), weights_only=True)
    assert saved["hyper_parameters"]["spec"] == SPEC


@pytest.mark.parametrize("method", ["fit", "test"])
def test_data_with_other_classes_are_named(tmp_path, method):
    path = trained_checkpoint(tmp_path / "a.ckpt", num_classes=4)
    with pytest.raises(ValueError, match=r"trained on other data \(num_classes: 4 there, 3 here\)"):
        getattr(trainer(), method)(classifier(), datamodule=TinyPictures(), ckpt_path=path, weights_only=True)


def test_long_facts_are_shortened(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", class_names=["cat"] * 1000)
    with pytest.raises(ValueError, match=r"class_names: \['cat',.*\.\.\. there, \['a', 'b', 'c'\] here") as error:
        trainer().test(classifier(), TinyPictures(), ckpt_path=path, weights_only=True)
    assert len(str(error.value)) < 250


def test_another_net_is_told_before_torch_does(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"another net: 13 weights differ, such as net.head.weight; choose") as error:
        trainer().test(
            classifier(net=partial(MLP, widths=[], relu=True, dropout=0.0)),
            TinyPictures(),
            ckpt_path=path,
            weights_only=True,
        )
    assert "\n" not in str(error.value)


def test_statistics_of_the_data_may_differ_and_the_checkpoints_are_kept(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", mean=[0.25, 0.75])
    model = classifier()
    trainer().test(model, TinyPictures(), ckpt_path=path, weights_only=True, verbose=False)
    assert model.mean.flatten().tolist() == model.hparams["spec"]["mean"] == [0.25, 0.75]


def test_a_checkpoint_of_another_program_is_refused(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(path, weights_only=True)
    del saved["hyper_parameters"]
    torch.save(saved, path)
    with pytest.raises(ValueError, match="none of fastlight's"):
        trainer().test(classifier(), TinyPictures(), ckpt_path=path, weights_only=True)


def test_a_schedule_of_another_length_is_not_resumed(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", classifier(scheduler=FLAT_COSINE))
    with pytest.raises(ValueError, match="3 steps long, this run's 6"):
        trainer(2).fit(classifier(scheduler=FLAT_COSINE), TinyPictures(), ckpt_path=path, weights_only=True)


def test_a_training_without_a_length_of_its_own_may_be_prolonged(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    run = trainer(2)
    run.fit(classifier(), TinyPictures(), ckpt_path=path, weights_only=True)
    assert run.global_step == 6


@pytest.mark.parametrize(("precision", "algorithm"), [("bf16-mixed", None), ("32-true", None), ("bf16-mixed", "value")])
def test_gradients_are_clipped_for_a_fused_optimizer_in_any_precision(precision, algorithm):
    def largest(trainer, model):
        gradients = [p.grad for p in model.parameters()]
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        return float(norm if algorithm is None else max(g.abs().max() for g in gradients))

    seen, fused = AtBatch(largest, "end"), partial(torch.optim.AdamW, fused=True)
    clip = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm}
    trainer(1, seen, precision=precision, **clip).fit(classifier(optimizer=fused), TinyPictures())
    assert seen.values == pytest.approx([1e-3] * 3, rel=1e-2)


def test_a_net_for_other_data_is_an_error_that_says_so():
    def net(vocab_size, *, size):
        raise AssertionError

    with pytest.raises(ValueError, match=r"net does not fit ImageClassifier and its data, missing .*'vocab_size'"):
        built(classifier(net=partial(net, size=3)))
