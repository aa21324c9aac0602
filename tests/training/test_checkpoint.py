import os

import pytest
import torch
from hydra.utils import instantiate
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.testing import assert_close

from src.callbacks.averaging import Averaging
from src.core import migrations
from src.core.migrations import FORMAT_KEY, Migration
from src.models.images.cnn_small import CNNSmall
from src.training.checkpoint import load_model
from tests.support.programs import program, train_here
from tests.support.tiny import TinyImages, labelled_images, trainer

CONFIG = {
    "_target_": "src.models.images.classifier.ImageClassifier",
    "net": {"_target_": "src.models.images.cnn_small.CNNSmall", "_partial_": True, "widths": [4, 7]},
    "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True},
    "scheduler": {"_target_": "src.models.schedules.constant", "_partial_": True},
    "lr": 0.1,
    "lr_ratio": 1.0,
    "label_smoothing": 0.0,
    "regression_loss": "mse",
    "class_weights": None,
    "flip_tta": False,
    "crop_tta": 0,
    "backbone": None,
    "fit_head": False,
    "compile": False,
}


def trained(folder, *callbacks, **changes):
    """A model trained from a config, as train.py does it, and its best checkpoint."""
    model = instantiate(CONFIG | changes, _convert_="all")
    model.hparams.update(model=CONFIG | changes)
    run = trainer(2, *callbacks, ModelCheckpoint(folder, monitor="val/loss"), enable_checkpointing=True)
    run.fit(model, TinyImages())
    run.test(model, TinyImages(), ckpt_path=run.checkpoint_callback.best_model_path, weights_only=True, verbose=False)
    return model.eval(), run.checkpoint_callback.best_model_path


class OwnNet(CNNSmall):
    """From another package than the project's."""


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_loaded_model_predicts_what_the_saved_one_did(tmp_path):
    model, path = trained(tmp_path)
    images, _ = labelled_images(5, seed=3)
    assert_close(load_model(path)(images), model(images), rtol=0, atol=0)


def test_a_loaded_model_is_ready_to_score(tmp_path):
    assert not load_model(trained(tmp_path)[1]).training


def test_an_averaged_model_loads_as_its_average(tmp_path):
    model, path = trained(tmp_path, Averaging(decay=0.9))
    images, _ = labelled_images(5, seed=3)
    assert_close(load_model(path)(images), model(images), rtol=0, atol=0)


def test_a_loaded_model_does_not_need_its_backbone(tmp_path):
    _, backbone = trained(tmp_path / "first")
    _, path = trained(tmp_path / "second", backbone=backbone)
    os.remove(backbone)
    assert load_model(path).hparams["model"]["backbone"] == backbone


@pytest.fixture
def bad_checkpoint(tmp_path):
    """Makes the folder `harm` when a careless reader loads it."""
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": {}, "hyper_parameters": Malicious(tmp_path / "harm")}, path)
    yield path
    assert not (tmp_path / "harm").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "harm").is_dir()  # it is malicious indeed


def test_a_pickle_that_runs_code_is_refused_and_not_run(bad_checkpoint):
    with pytest.raises(ValueError, match=r"last.ckpt is not a checkpoint of plain data"):
        load_model(bad_checkpoint)


@pytest.mark.parametrize("way", ["resume=true", "checkpoint={}", "model.backbone={}"])
def test_train_refuses_such_a_pickle_however_it_comes(bad_checkpoint, way):
    run_dir = bad_checkpoint.parent.parent
    with pytest.raises(ValueError, match=r"last.ckpt is not a checkpoint of plain data"):
        train_here(run_dir, way.format(bad_checkpoint))


@pytest.mark.parametrize("task", ["test", "validate"])
def test_scoring_refuses_such_a_pickle(bad_checkpoint, task):
    with pytest.raises(ValueError, match=r"last.ckpt is not a checkpoint of plain data"):
        train_here(bad_checkpoint.parent.parent, f"task={task}", f"checkpoint={bad_checkpoint}")


def test_predict_refuses_such_a_pickle_in_one_line(bad_checkpoint, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    finished = program("predict.py", f"checkpoint={bad_checkpoint}", f"input={tmp_path}/a.png", cwd=tmp_path)
    expected = f"error: {bad_checkpoint} is not a checkpoint of plain data and tensors; nothing else is loaded\n"
    assert (finished.returncode, finished.stderr) == (1, expected)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "notes.ckpt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"notes.ckpt is damaged or not a checkpoint: File is not a zip file"):
        load_model(tmp_path / "notes.ckpt")


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"checkpoint nowhere.ckpt does not exist"):
        load_model("nowhere.ckpt")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"hyper_parameters": {"model": {}}}, [1, 2]])
def test_a_checkpoint_of_another_program_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"not a fastlight checkpoint: it lacks hyper_parameters.model and .spec"):
        load_model(tmp_path / "other.ckpt")


def with_model(path, **model):
    """The checkpoint, with other entries in its model's config."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["model"] |= model
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("place", ["net", "optimizer"])
def test_a_checkpoint_names_no_function_from_elsewhere(tmp_path, place):
    path = with_model(trained(tmp_path)[1], **{place: {"a": [{"_target_": "pathlib.Path.mkdir"}]}})
    with pytest.raises(ValueError, match=r"names pathlib.Path.mkdir, which is not run.*give trust=\[pathlib\]"):
        load_model(path)


def test_a_checkpoint_has_nothing_resolved(tmp_path):
    resolved = "${oc.create:{_target_: os.mkdir, path: " + str(tmp_path / "harm") + "}}"
    path = with_model(trained(tmp_path)[1], net=resolved)
    with pytest.raises(ValueError, match=r"ckpt holds the text .*: a saved config has plain values only"):
        load_model(path)
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_whose_net_is_larger_than_its_file_is_refused_before_the_memory_is_taken(tmp_path):
    path = with_model(trained(tmp_path)[1], net=CONFIG["net"] | {"widths": [4, 10**6]})
    with pytest.raises(ValueError, match=r"ckpt, of [\d,]+ bytes, cannot hold the net that it describes"):
        load_model(path)


@pytest.mark.parametrize("changes", [{"lr": "high"}, {"net": {"_target_": "torch.nn.Linear"}}, {"net": 3}, {"x": 1}])
def test_a_checkpoint_whose_parts_do_not_fit_is_told_in_one_line(tmp_path, changes):
    path = with_model(trained(tmp_path)[1], **changes)
    with pytest.raises(ValueError) as raised:
        load_model(path)
    assert "\n" not in str(raised.value)


def test_a_net_with_an_argument_that_it_lacks_is_told_with_the_file(tmp_path):
    path = with_model(trained(tmp_path)[1], net={**CONFIG["net"], "another": [9]})
    with pytest.raises(ValueError, match=r"\.ckpt holds a net, a spec and weights that do not belong together"):
        load_model(path)


def test_a_net_of_ones_own_is_loaded_if_its_package_is_trusted(tmp_path):
    own = {"_target_": "tests.training.test_checkpoint.OwnNet", "_partial_": True, "widths": [4, 7]}
    _, path = trained(tmp_path, net=own)
    with pytest.raises(ValueError, match=r"names tests.training.test_checkpoint.OwnNet.*give trust=\[tests\]"):
        load_model(path)
    assert type(load_model(path, trust=["tests"]).net).__name__ == "OwnNet"


def changed(path, change):
    """A checkpoint file after `change` of its contents."""
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    return path


def test_a_checkpoint_says_of_which_format_it_is(tmp_path):
    _, path = trained(tmp_path)
    assert torch.load(path, weights_only=True)[FORMAT_KEY] == migrations.newest_format()


def test_a_checkpoint_of_an_older_format_predicts_as_before(tmp_path, monkeypatch):
    model, path = trained(tmp_path)

    def as_it_was(checkpoint):
        checkpoint.pop(FORMAT_KEY)
        saved = checkpoint["hyper_parameters"]["model"]
        saved["net"] = {"_target_": "src.models.nets.Small", "_partial_": True}
        saved["smoothing"] = saved.pop("label_smoothing")
        checkpoint["state_dict"] = {
            name.replace("net.", "net.body."): w for name, w in checkpoint["state_dict"].items()
        }

    small = "src.models.images.cnn_small.CNNSmall"
    since = Migration(
        renamed={"src.models.nets.Small": small},
        added={small: {"widths": [4, 7]}},
        arguments={CONFIG["_target_"]: {"smoothing": "label_smoothing"}},
        weights={small: {r"^net\.body\.": "net."}},
    )
    monkeypatch.setattr(migrations, "MIGRATIONS", [since])
    images, _ = labelled_images(5, seed=3)
    assert_close(load_model(changed(path, as_it_was))(images), model(images), rtol=0, atol=0)


def test_a_model_that_scores_otherwise_than_an_older_checkpoint_did_is_told(tmp_path, monkeypatch, capsys):
    _, path = trained(tmp_path)
    changed(path, lambda checkpoint: checkpoint["hyper_parameters"]["model"].pop("flip_tta"))
    since = Migration(added={CONFIG["_target_"]: {"flip_tta": True}})
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, since])
    model = instantiate(CONFIG, _convert_="all")
    model.hparams.update(model=CONFIG)
    trainer().test(model, TinyImages(), ckpt_path=path, weights_only=True, verbose=False)
    change = "the checkpoint is from before model.flip_tta, and did what model.flip_tta=True does; here it is False"
    assert capsys.readouterr().err == f"note: {change}\n"


def test_a_checkpoint_from_the_future_is_refused_in_words(tmp_path):
    _, path = trained(tmp_path)
    newest = migrations.newest_format()
    words = f"is of format {newest + 1}, and this fastlight knows formats up to {newest}: update fastlight"
    with pytest.raises(ValueError, match=words):
        load_model(changed(path, lambda checkpoint: checkpoint.update({FORMAT_KEY: newest + 1})))
