from functools import partial

import pytest
import torch

from src.models.images.cnn_small import CNNSmall
from src.models.images.mlp import MLP
from src.models.schedules import flat_cosine
from tests.support.tiny import SPEC, AtBatch, TinyImages, built, classifier, trainer

FLAT_COSINE = partial(flat_cosine, warmup_fraction=0.0, flat_fraction=0.5, final_ratio=0.0)


def trained_checkpoint(path, model=None, **facts):
    run = trainer()
    run.fit(model or classifier(), TinyImages(**facts))
    run.save_checkpoint(path)
    return path


def test_a_checkpoint_loads_as_plain_data(tmp_path):
    saved = torch.load(trained_checkpoint(tmp_path / "a.ckpt"), weights_only=True)
    assert saved["hyper_parameters"]["spec"] == SPEC


@pytest.mark.parametrize("method", ["fit", "test"])
def test_data_with_other_classes_are_named(tmp_path, method):
    path = trained_checkpoint(tmp_path / "a.ckpt", num_classes=4)
    with pytest.raises(ValueError, match=r"trained on other data \(num_classes: 4 there, 3 here\)"):
        getattr(trainer(), method)(classifier(), datamodule=TinyImages(), ckpt_path=path, weights_only=True)


def test_long_values_are_shortened(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", class_names=["cat"] * 1000)
    with pytest.raises(ValueError, match=r"class_names: \['cat',.*\.\.\. there, \['a', 'b', 'c'\] here") as error:
        trainer().test(classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    assert len(str(error.value)) < 250


def test_another_net_is_an_error_before_torch_loads_it(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"another net: 13 weights differ, such as net.head.weight; choose") as error:
        trainer().test(
            classifier(net=partial(MLP, widths=[], relu=True, dropout=0.0)),
            TinyImages(),
            ckpt_path=path,
            weights_only=True,
        )
    assert "\n" not in str(error.value)


def test_statistics_of_the_data_may_differ_and_the_checkpoints_are_kept(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", mean=[0.25, 0.75])
    model = classifier()
    trainer().test(model, TinyImages(), ckpt_path=path, weights_only=True, verbose=False)
    assert model.mean.flatten().tolist() == model.hparams["spec"]["mean"] == [0.25, 0.75]


def test_a_checkpoint_of_another_program_is_refused(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(path, weights_only=True)
    del saved["hyper_parameters"]
    torch.save(saved, path)
    with pytest.raises(ValueError, match="is not from fastlight"):
        trainer().test(classifier(), TinyImages(), ckpt_path=path, weights_only=True)


def test_a_schedule_of_another_length_is_not_resumed(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", classifier(scheduler=FLAT_COSINE))
    with pytest.raises(ValueError, match="3 steps long, this run's 6"):
        trainer(2).fit(classifier(scheduler=FLAT_COSINE), TinyImages(), ckpt_path=path, weights_only=True)


@pytest.mark.parametrize(
    ("steps", "state", "message"),
    [
        (2, {"last_epoch": 1}, "2 steps were trained of 3, its schedule stands at 1 of 3"),
        (1, {"last_epoch": 3, "total_steps": 3}, "1 steps were trained of 3, its schedule stands at 3 of 3"),
        (1, {"last_epoch": 1, "total_steps": 9}, "1 steps were trained of 3, its schedule stands at 1 of 9"),
        (1, {}, "1 steps were trained of 3, its schedule stands at None of 3"),
    ],
)
def test_a_schedule_that_stands_elsewhere_than_the_training_is_refused(steps, state, message):
    with pytest.raises(ValueError, match=message):
        loaded(built(), SPEC, global_step=steps, schedule_steps=3, lr_schedulers=[state])


def test_a_training_whose_schedule_has_no_length_may_be_prolonged(tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt")
    run = trainer(2)
    run.fit(classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    assert run.global_step == 6


def test_a_function_in_a_scheduler_s_state_is_not_saved():
    checkpoint = {"lr_schedulers": [{"anneal_func": len, "total_steps": 3}]}
    built().on_save_checkpoint(checkpoint)
    assert checkpoint["lr_schedulers"] == [{"total_steps": 3}]


def loaded(model, saved_spec, **rest):
    model.on_load_checkpoint({"hyper_parameters": {"spec": saved_spec}, **rest})


def test_a_model_without_a_spec_takes_any_checkpoint():
    classifier().on_load_checkpoint({})


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (SPEC | {"extra": 5}, "extra: 5 there, None here"),
        ({name: value for name, value in SPEC.items() if name != "in_chans"}, "in_chans: None there, 2 here"),
        (SPEC | {"in_chans": 1, "num_classes": 9}, "in_chans: 1 there, 2 here; num_classes: 9 there, 3 here"),
        ({"a": 1, "b": 2} | SPEC | {"c": 3, "in_chans": 1}, r"c: 3 there, None here and 1 more\); choose"),
        (SPEC | {"in_chans": "x" * 60}, f"in_chans: {'x' * 60} there"),
        (SPEC | {"in_chans": "x" * 61}, rf"in_chans: {'x' * 57}\.\.\. there"),
    ],
)
def test_every_difference_between_data_is_named(saved, message):
    with pytest.raises(ValueError, match=message):
        loaded(built(), saved)


def test_weights_may_be_missing_or_left_over_or_of_another_shape():
    model = built()
    weights = model.state_dict()
    first = next(name for name in weights if name.startswith("net."))
    loaded(model, SPEC, state_dict=weights)
    others = [
        {name: value for name, value in weights.items() if name != first},
        weights | {first: torch.zeros(1)},
        weights | {"left": torch.zeros(1)},
    ]
    for saved, name in zip(others, [first, first, "left"], strict=True):
        with pytest.raises(ValueError, match=f"another net: 1 weights differ, such as {name}; choose its model"):
            loaded(model, SPEC, state_dict=saved)


class Pretrained(CNNSmall):
    """Counts how often its pretrained weights, a head bias of 5, are loaded."""

    loads = 0

    def load_pretrained(self):
        type(self).loads += 1
        torch.nn.init.constant_(self.head.bias, 5)


@pytest.fixture
def pretrained():
    Pretrained.loads = 0
    return lambda: classifier(net=partial(Pretrained, widths=[4, 7]))


def test_a_training_that_begins_starts_from_pretrained_weights(pretrained):
    model = pretrained()
    seen = AtBatch(lambda trainer, model: model.net.head.bias.tolist())
    trainer(1, seen).fit(model, TinyImages())
    assert seen.values[0] == [5, 5, 5]
    assert seen.values[1] != [5, 5, 5]


def test_pretrained_weights_are_loaded_once_though_optimizers_are_built_again(pretrained):
    model = pretrained()
    again = AtBatch(lambda trainer, model: model.configure_optimizers())
    trainer(1, again).fit(model, TinyImages())
    assert Pretrained.loads == 1


def test_to_resume_or_score_needs_no_pretrained_weights(pretrained, tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", pretrained())
    assert Pretrained.loads == 1
    trainer(2).fit(pretrained(), TinyImages(), ckpt_path=path, weights_only=True)
    trainer().test(pretrained(), TinyImages(), ckpt_path=path, weights_only=True, verbose=False)
    assert Pretrained.loads == 1


def test_a_backbone_stands_in_for_pretrained_weights(pretrained, tmp_path):
    path = trained_checkpoint(tmp_path / "a.ckpt", pretrained())
    trainer().fit(classifier(net=partial(Pretrained, widths=[4, 7]), backbone=str(path)), TinyImages())
    assert Pretrained.loads == 1
