"""Each argument of Lightning's Trainer does here what it does there, or is refused in words."""

import inspect

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers.logger import DummyLogger
from torch.utils.data import DataLoader, TensorDataset

from src.callbacks.loader_state import LoaderState
from src.callbacks.random_state import RandomState
from src.callbacks.resume_state import ResumeState
from src.callbacks.stop_signals import StopSignals
from src.core.check import NOT_OF_TRAINER, check
from src.core.errors import ConfigError
from src.datamodules.loader import BatchLoader
from src.training.trainer import Trainer
from tests.support.programs import composed, same
from tests.support.tiny import TinyImages, classifier, labelled_images

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice to its own loader
# Those that choose the machine, and the folder.
OF_THE_MACHINE = {"accelerator", "devices", "num_nodes", "strategy", "default_root_dir"}
CASES = [
    {"max_steps": 8, "max_epochs": 5},
    {"max_steps": 8, "max_epochs": -1},
    {"max_steps": 2},
    {"max_epochs": 0},
    {"min_epochs": 3, "max_epochs": 5, "stops": True},
    {"min_steps": 7, "max_epochs": 5, "stops": True},
    {"max_time": {"seconds": 0}},
    {"limit_train_batches": 2},
    {"limit_train_batches": 0.4},
    {"limit_train_batches": 0},
    {"limit_val_batches": 1},
    {"limit_test_batches": 1},
    {"limit_test_batches": 0},
    {"overfit_batches": 2},
    {"val_check_interval": 2},
    {"val_check_interval": 0.4},
    {"val_check_interval": 4, "check_val_every_n_epoch": None},
    {"val_check_interval": {"seconds": 0}},
    {"check_val_every_n_epoch": 2},
    {"num_sanity_val_steps": 1},
    {"num_sanity_val_steps": -1},
    {"log_every_n_steps": 2},
    {"accumulate_grad_batches": 2},
    {"accumulate_grad_batches": 2, "max_steps": 3},
    {"gradient_clip_val": 0.01},
    {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    {"fast_dev_run": True},
    {"fast_dev_run": 2},
    {"enable_checkpointing": False, "saves": False},
    {"enable_progress_bar": True},
    {"enable_model_summary": True},
    {"deterministic": True},
    {"benchmark": False},
    {"precision": "64-true"},
    {"precision": "bf16-mixed"},
    {"inference_mode": False},
    {"detect_anomaly": True},
    {"profiler": "simple"},
    {"plugins": pl.plugins.environments.LightningEnvironment()},
    {"sync_batchnorm": True},
    {"reload_dataloaders_every_n_epochs": 1},
]


def in_order(count, size, seed=0):
    return BatchLoader(*labelled_images(count, seed), batch_size=size)


def plain_loader(count, size, seed=0):
    return DataLoader(TensorDataset(*labelled_images(count, seed)), batch_size=size)


class Images(TinyImages):
    """3 batches to train on, 2 to validate and 2 to test on, from loaders of one kind."""

    def __init__(self, loader):
        super().__init__()
        self.loader = loader

    def train_dataloader(self):
        return self.loader(12, 4)

    def val_dataloader(self):
        return self.loader(7, 4, seed=1)

    def test_dataloader(self):
        return self.loader(5, 3, seed=2)


class Events(pl.Callback):
    """What happened, in order, each with the epoch and the step."""

    def __init__(self):
        self.seen = []

    def _see(self, trainer, name, *facts):
        self.seen.append((name, trainer.current_epoch, trainer.global_step, *facts))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._see(trainer, "batch", batch_idx, torch.is_anomaly_enabled())

    def on_train_epoch_end(self, trainer, pl_module):
        self._see(trainer, "epoch")

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._see(trainer, "validation", trainer.sanity_checking, batch_idx)

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._see(trainer, "test", batch_idx, torch.is_inference_mode_enabled())


class Rows(DummyLogger):
    """Keeps the step and the names of each row."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, sorted(metrics)))


def trained(folder, trainer_class, loader, callbacks=(), *, stops=False, saves=True, **arguments):
    """Fit and test; returns what happened, the logged rows, the saved files and the weights."""
    torch.manual_seed(0)
    events, logger = Events(), Rows()
    savers = [
        ModelCheckpoint(folder / "checkpoints", filename="best", monitor="val/loss"),
        ModelCheckpoint(folder / "checkpoints", filename="last", enable_version_counter=False),
    ]
    stoppers = [EarlyStopping("val/loss", patience=1, min_delta=9.0)] if stops else []
    usual = {"accelerator": "cpu", "devices": 1, "precision": "32-true", "logger": logger, "log_every_n_steps": 1}
    usual |= {"num_sanity_val_steps": 0, "max_epochs": 3, "default_root_dir": str(folder)}
    usual |= {"enable_progress_bar": False, "enable_model_summary": False}
    usual["callbacks"] = [events, *stoppers, *(callbacks if saves else callbacks[:-1]), *(savers if saves else [])]
    trainer, model = trainer_class(**(usual | arguments)), classifier()
    trainer.fit(model, Images(loader))
    trainer.test(model, Images(loader), verbose=False)
    files = sorted(path.name for path in folder.rglob("*.ckpt"))
    return {"events": events.seen, "rows": logger.rows, "files": files, "weights": model.state_dict()}


# Not the values: the address of an object would differ between pytest's workers.
@pytest.mark.parametrize("arguments", CASES, ids="-".join)
def test_it_does_here_what_it_does_there(tmp_path, arguments):
    ours = [
        RandomState(),
        LoaderState(),
        ResumeState(),
        StopSignals(run_dir=str(tmp_path / "ours"), save_every_minutes=10),
    ]
    here = trained(tmp_path / "ours", Trainer, in_order, ours, **arguments)
    there = trained(tmp_path / "plain", pl.Trainer, plain_loader, **arguments)
    assert here["events"] == there["events"]
    assert here["rows"] == there["rows"]
    assert here["files"] == there["files"]
    assert same(dict(here["weights"]), dict(there["weights"]))


def test_every_argument_is_tried_or_refused():
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    tried = {name for arguments in CASES for name in arguments} - {"stops", "saves"}
    assert tried | set(NOT_OF_TRAINER) | OF_THE_MACHINE == known
    assert not tried & set(NOT_OF_TRAINER)


@pytest.mark.parametrize("name", NOT_OF_TRAINER)
def test_an_argument_without_effect_is_refused(name, tmp_path):
    value = {"limit_predict_batches": 1, "model_registry": "mine"}.get(name, "false")
    with pytest.raises(ConfigError, match=f"trainer.{name} has no effect here: {NOT_OF_TRAINER[name][:9]}"):
        check(composed(f"+trainer.{name}={value}", f"run_dir={tmp_path}"))


def test_a_profile_is_shown(tmp_path, caplog):
    trained(tmp_path, Trainer, in_order, profiler="simple", max_epochs=1)
    assert "run_training_epoch" in caplog.text
