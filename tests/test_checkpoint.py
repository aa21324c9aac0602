import os

import pytest
import torch
from hydra.utils import instantiate
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.testing import assert_close

from src.callbacks.averaging import Averaging
from src.checkpoint import load_model
from tests.tiny import TinyPictures, pictures, trainer

CONFIG = {
    "_target_": "src.models.image_classifier.ImageClassifier",
    "net": {"_target_": "src.models.nets.cnn_small.CNNSmall", "_partial_": True, "widths": [4, 7]},
    "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True},
    "scheduler": {"_target_": "src.models.schedules.constant", "_partial_": True},
    "lr": 0.1,
    "lr_ratio": 1.0,
    "label_smoothing": 0.0,
    "flip_tta": False,
    "backbone": None,
    "compile": False,
}


def trained(folder, *callbacks, **changes):
    """A model trained from a config, as train.py does it, and its best checkpoint."""
    model = instantiate(CONFIG | changes, _convert_="all")
    model.hparams.update(model=CONFIG | changes)
    run = trainer(2, *callbacks, ModelCheckpoint(folder, monitor="val/loss"), enable_checkpointing=True)
    run.fit(model, TinyPictures())
    run.test(model, TinyPictures(), ckpt_path=run.checkpoint_callback.best_model_path, weights_only=True, verbose=False)
    return model.eval(), run.checkpoint_callback.best_model_path


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_loaded_model_predicts_what_the_saved_one_did(tmp_path):
    model, path = trained(tmp_path)
    images, _ = pictures(5, seed=3)
    assert_close(load_model(path)(images), model(images), rtol=0, atol=0)


def test_a_loaded_model_is_ready_to_score(tmp_path):
    assert not load_model(trained(tmp_path)[1]).training


def test_an_averaged_model_loads_as_its_average(tmp_path):
    model, path = trained(tmp_path, Averaging(decay=0.9))
    images, _ = pictures(5, seed=3)
    assert_close(load_model(path)(images), model(images), rtol=0, atol=0)


def test_a_loaded_model_does_not_need_its_backbone(tmp_path):
    _, backbone = trained(tmp_path / "first")
    _, path = trained(tmp_path / "second", backbone=backbone)
    os.remove(backbone)
    assert load_model(path).hparams["model"]["backbone"] == backbone


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    torch.save({"state_dict": {}, "hyper_parameters": Malicious(tmp_path / "harm")}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad.ckpt is no checkpoint of plain data"):
        load_model(tmp_path / "bad.ckpt")
    assert not (tmp_path / "harm").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "notes.ckpt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"notes.ckpt is no checkpoint of plain data"):
        load_model(tmp_path / "notes.ckpt")


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"checkpoint nowhere.ckpt does not exist"):
        load_model("nowhere.ckpt")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"hyper_parameters": {"model": {}}}, [1, 2]])
def test_a_checkpoint_of_another_program_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"no checkpoint of fastlight's: it lacks hyper_parameters.model and .spec"):
        load_model(tmp_path / "other.ckpt")
