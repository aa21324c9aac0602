"""What a run that continues or scores a checkpoint may be given anew."""

import pytest
import torch
from omegaconf import OmegaConf

from src.core.errors import ConfigError
from src.core.run_config import plain
from src.training.changes import check_changes, other_options, seed_of_rows
from tests.support.programs import composed, metrics_of, train_here

SHORT = ("trainer.max_epochs=1",)


def checkpoint_of(*overrides, **data):
    """What following() reads in the checkpoint of a run with these overrides."""
    config = plain(composed(*overrides, "run_dir=none"))
    state = {"seed": config["seed"], "held_out": {}, **data}
    return {"hyper_parameters": {"model": config["model"]}, "Digits": state}


def checked(checkpoint, *overrides, task="fit"):
    check_changes(plain(composed(*overrides, f"task={task}", "run_dir=none")), checkpoint)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_here(tmp_path_factory.mktemp("run"), "seed=3", *SHORT)


@pytest.mark.parametrize(("task", "score"), [("validate", "val/loss"), ("test", "test/loss")])
def test_the_seed_of_a_scoring_command_does_not_matter(run, tmp_path, capsys, task, score):
    train_here(tmp_path, f"task={task}", f"checkpoint={run}/checkpoints/best.ckpt", "seed=0")
    assert metrics_of(tmp_path)[score] == pytest.approx(metrics_of(run)[score], rel=1e-6)
    note = "note: the held-out rows are those of the checkpoint's training: datamodule.seed=3\n"
    assert capsys.readouterr().err == note
    assert OmegaConf.load(tmp_path / "config.yaml").datamodule.seed == 3


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=0"], "give seed=3, got datamodule.seed=0"),
        (["seed=3", "model.lr=0.5"], r"optimizer and schedule.*: model.lr=.* there, 0.5 here; give the values"),
        (
            ["seed=3", "datamodule.valid_fraction=0.2"],
            "the valid rows would be others .* datamodule.valid_fraction=0.1",
        ),
    ],
    ids=["seed", "rate", "split"],
)
def test_a_refused_resume_leaves_config_yaml_as_it_was(run, overrides, words):
    before = (run / "config.yaml").read_text()
    with pytest.raises((ConfigError, ValueError), match=words):
        train_here(run, "resume=true", "trainer.max_epochs=1", *overrides)
    assert (run / "config.yaml").read_text() == before


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("model.lr_ratio=0.1", "model.lr_ratio=1.0 there, 0.1 here"),
        ("model.optimizer.weight_decay=0.3", "model.optimizer.weight_decay=0.01 there, 0.3 here"),
        ("model.optimizer.betas=[0.8,0.9]", r"model.optimizer.betas=\[0.9, 0.99\] there, \[0.8, 0.9\] here"),
        ("model/optimizer=sgd", "model.optimizer._target_=torch.optim.AdamW there, torch.optim.SGD here"),
        ("model/scheduler=constant", "schedules.one_cycle there, src.models.schedules.constant here.* and 4 more"),
        ("model.scheduler.warmup_fraction=0.5", "model.scheduler.warmup_fraction=0.25 there, 0.5 here"),
        ("model.backbone=other.ckpt", "model.backbone=null there, other.ckpt here"),
    ],
)
def test_what_a_resumed_run_would_not_use_is_refused(change, shown):
    with pytest.raises(ConfigError, match=f"would not change: .*{shown}.*; give the values from there, or start a new"):
        checked(checkpoint_of(), change)


@pytest.mark.parametrize(
    "change",
    [
        "model.label_smoothing=0.1",
        "model.net.widths=[7]",  # the weights' own check refuses it
        "trainer.gradient_clip_val=1",
        "datamodule.augmentation.flip=true",
        "datamodule.batch_size=7",
        "callbacks=[images,ema]",
    ],
)
def test_what_a_resumed_run_uses_may_change(change):
    checked(checkpoint_of(), change)


def test_another_net_than_the_checkpoints_is_not_scored():
    with pytest.raises(ConfigError, match=r"another net: model.net.widths=\[5\] there, .* here; give the values"):
        checked(checkpoint_of("model.net.widths=[5]"), task="test")


def test_scores_do_not_depend_on_dropout_optimizer_or_rate():
    trained = checkpoint_of("model/net=mlp", "model.net.dropout=0.3", "model/optimizer=sgd", "model.lr=3")
    checked(trained, "model/net=mlp", task="test")


def test_another_kind_of_model_is_left_to_the_checks_of_data_and_weights():
    checked(checkpoint_of("experiment=diabetes"))


def test_a_backbone_that_has_done_its_work_need_not_be_given():
    checked(checkpoint_of("model.backbone=gone.ckpt"))


def test_other_options_of_scoring_are_known_by_their_keys():
    config = plain(composed("run_dir=none", "task=test", "model.flip_tta=true", "model.lr=3"))
    assert other_options(config, checkpoint_of()) == ["model.flip_tta"]
    assert other_options({**config, "task": "fit"}, checkpoint_of()) == []


def test_the_seed_of_the_rows_is_the_one_that_drew_them():
    config = plain(composed("run_dir=none"))
    by_seed = {"valid": {"rule": {"seed": 7}, "rows": "ab"}, "test": {"rule": {"test_fraction": 0.2}, "rows": "cd"}}
    assert seed_of_rows(config, checkpoint_of("seed=3", held_out=by_seed)) == 7
    assert seed_of_rows(config, checkpoint_of("seed=3", held_out={"test": by_seed["test"]})) is None


def test_data_whose_class_chooses_the_seed_are_resumed():
    config = plain(composed("run_dir=none", "~datamodule.seed"))
    check_changes(config, checkpoint_of("seed=3"))


@pytest.mark.parametrize("content", [None, {}, {"Digits": 1}, {"Digits": {"held_out": [1]}, "hyper_parameters": "x"}])
def test_what_is_no_checkpoint_is_left_to_other_checks(content):
    config = plain(composed("run_dir=none", "task=test"))
    check_changes(config, content)
    assert seed_of_rows(config, content) is None


def test_a_checkpoint_that_does_not_say_what_it_held_out_is_scored_with_a_note(run, tmp_path, capsys):
    older = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    del older["Digits"]
    torch.save(older, tmp_path / "older.ckpt")
    train_here(tmp_path / "run", "task=test", f"checkpoint={tmp_path}/older.ckpt")
    assert "give the seed and fractions of that training" in capsys.readouterr().err
