"""An image model of several labels, or of numbers, trained on drawn shapes as train.py does it."""

import pytest
import torch
from torch.testing import assert_close

from src.models.images.label_scores import choose_thresholds
from src.training.checkpoint import load_model
from tests.support.callbacks.stop_at import Stopped
from tests.support.programs import checkpoint_of, composed, run_here, same, scores_of, table_of

SMALL = (
    *("datamodule=image_data", "callbacks=default", "~callbacks.report", "callbacks.last.pause_factor=0"),
    *("+datamodule._target_=tests.support.shapes.DrawnShapes", "+datamodule.rows={train: 240, test: 60}"),
    *("datamodule.batch_size=30", "datamodule.valid_fraction=0.25", "datamodule.augmentation.flip=true"),
    *("model.net.widths=[8,12]", "model.lr=0.02", "trainer.max_epochs=4", "trainer.log_every_n_steps=1"),
)


def trained(run_dir, task, *overrides):
    """The result of a training on drawn shapes: 6 steps an epoch."""
    return run_here(composed(*SMALL, f"+datamodule.task={task}", f"run_dir={run_dir}", *overrides))


def outputs_of(model, split):
    with torch.inference_mode():
        images = split.images[split.rows].permute(0, 3, 1, 2)
        return model(images), model.predict(images)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return trained(
        tmp_path_factory.mktemp("labels") / "run", "multilabel", "model.flip_tta=true", "trainer.max_epochs=8"
    )


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("numbers") / "run", "regression", "model.flip_tta=true")


def test_training_learns_several_labels(labels):
    assert labels.scores["test/mean_average_precision"] > 0.7  # 0.4 is guessing
    assert {"test/macro_f1", "test/micro_f1", "test/f1_circle", "test/average_precision_triangle"} <= set(labels.scores)
    assert "val/f1_circle" not in labels.scores  # one of each label at each validation would be many


def test_training_learns_numbers(numbers):
    assert numbers.scores["test/r2"] > 0.5
    assert {"test/rmse_share", "test/mae_ground", "val/r2"} <= set(numbers.scores)


@pytest.mark.parametrize(("task", "score"), [("labels", "mean_average_precision"), ("numbers", "r2")])
def test_the_mean_of_both_views_is_scored_too(task, score, request):
    scores = request.getfixturevalue(task).scores
    assert scores[f"test/{score}_flip_tta"] != scores[f"test/{score}"]
    assert scores[f"test/{score}_flip_tta"] == pytest.approx(scores[f"test/{score}"], abs=0.2)


@pytest.mark.parametrize(("task", "score"), [("labels", "mean_average_precision"), ("numbers", "r2")])
def test_the_best_checkpoint_has_the_best_score_of_the_task(task, score, request):
    run = request.getfixturevalue(task)
    saved = checkpoint_of(run.run_dir.folder, "best")["callbacks"].values()
    (best,) = [state for state in saved if state.get("monitor") == f"val/{score}"]
    assert best["best_model_score"] == max(float(row[f"val/{score}"] or 0) for row in table_of(run.run_dir.folder))


@pytest.mark.parametrize("callbacks", ["default", "[default,ema]"])
def test_a_checkpoint_has_the_thresholds_that_its_own_weights_choose(callbacks, tmp_path):
    run = trained(tmp_path / "run", "multilabel", f"callbacks={callbacks}")
    valid = run.datamodule.splits["valid"]
    for name in ("best", "last"):
        model = load_model(run.run_dir.folder / "checkpoints" / f"{name}.ckpt")
        _, probabilities = outputs_of(model, valid)
        expected = choose_thresholds(probabilities.double(), valid.own_labels)
        assert_close(torch.tensor(model.hparams["spec"]["thresholds"]), expected, rtol=1e-5, atol=1e-5)
        assert model.task.thresholds == model.hparams["spec"]["thresholds"]


def test_thresholds_are_plain_numbers_and_not_the_datas(labels):
    thresholds = checkpoint_of(labels.run_dir.folder)["hyper_parameters"]["spec"]["thresholds"]
    assert [type(value) for value in thresholds] == [float] * 3
    assert "thresholds" not in labels.datamodule.spec


def test_the_test_uses_the_thresholds_of_the_checkpoint(labels, tmp_path):
    checkpoint = labels.run_dir.folder / "checkpoints" / "best.ckpt"
    again = trained(tmp_path / "again", "multilabel", "task=test", f"checkpoint={checkpoint}")
    assert again.scores["test/macro_f1"] == labels.scores["test/macro_f1"]


def test_validating_a_checkpoint_changes_no_threshold(labels, tmp_path):
    checkpoint = labels.run_dir.folder / "checkpoints" / "best.ckpt"
    some = "+trainer.limit_val_batches=1"  # which would choose others
    again = trained(tmp_path / "again", "multilabel", "task=validate", f"checkpoint={checkpoint}", some)
    saved = checkpoint_of(labels.run_dir.folder, "best")["hyper_parameters"]["spec"]["thresholds"]
    assert again.model.task.thresholds == saved


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_resumed_training_ends_as_one_that_never_stopped(task, tmp_path):
    whole = trained(tmp_path / "whole", task)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    stop = f"+callbacks.stop={{_target_: tests.support.callbacks.stop_at.StopAt, step: 15, path: {path}}}"
    with pytest.raises(Stopped):
        trained(tmp_path / "run", task, stop)
    resumed = trained(tmp_path / "run", task, "resume=true")
    assert scores_of(resumed.run_dir.folder) == scores_of(whole.run_dir.folder)
    ends = [checkpoint_of(run.run_dir.folder) for run in (resumed, whole)]
    assert same(ends[0]["state_dict"], ends[1]["state_dict"])
    assert ends[0]["hyper_parameters"]["spec"] == ends[1]["hyper_parameters"]["spec"]


def test_answers_stay_within_y_range(tmp_path):
    run = trained(tmp_path / "run", "regression", "trainer.max_epochs=1", "+datamodule.y_range=[0, 80]")
    _, values = outputs_of(run.model, run.datamodule.splits["test"])
    assert (values >= 0).all()
    assert (values <= 80).all()


def test_smoothing_that_is_left_out_of_numbers_is_told(tmp_path, capsys):
    trained(tmp_path / "run", "regression", "trainer.max_epochs=1", "model.label_smoothing=0.1")
    assert capsys.readouterr().err.count("label_smoothing=0.1 is left out: numbers are not smoothed") == 1


def test_mixed_images_of_several_labels_are_learned_from(tmp_path):
    mixed = "datamodule.augmentation.mixup=0.5", "datamodule.augmentation.cutmix=0.5"
    assert trained(tmp_path / "run", "multilabel", *mixed).scores["val/loss"] < 0.7


def test_a_checkpoint_of_another_task_is_refused(labels, tmp_path):
    checkpoint = labels.run_dir.folder / "checkpoints" / "best.ckpt"
    with pytest.raises(ValueError, match="the checkpoint was trained on other data"):
        trained(tmp_path / "run", "classification", "task=test", f"checkpoint={checkpoint}")
