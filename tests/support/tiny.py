"""Images, a classifier and a trainer so small that a test trains in a tenth of a second."""

from functools import partial

import pytorch_lightning as pl
import torch

from src.datamodules.loader import BatchLoader
from src.models.images.classifier import ImageClassifier
from src.models.images.cnn_small import CNNSmall
from src.models.schedules import constant, one_cycle
from src.training.trainer import Trainer

SPEC = {
    "in_chans": 2,
    "num_classes": 3,
    "image_size": [6, 5],
    "class_names": ["a", "b", "c"],
    "mean": [0.5, 0.25],
    "std": [0.25, 0.5],
}

ONE_CYCLE = partial(
    one_cycle,
    warmup_fraction=0.25,
    start_ratio=0.04,
    final_ratio=0.01,
    momentum_low=0.85,
    momentum_high=0.95,
    anneal="cos",
)


def labelled_images(rows, seed=0):
    """uint8 (rows, 2, 6, 5) and labels, in a third of brightness each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 3
    noise = torch.randint(0, 60, (rows, 2, 6, 5), generator=generator)
    return (noise + 80 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels


class TinyImages(pl.LightningDataModule):
    """12 rows to train on in 3 batches, 7 to validate on in 2, 5 to test on in 2."""

    def __init__(self, **facts):
        super().__init__()
        self.spec = SPEC | facts
        self.train_size = None

    def train_dataloader(self):
        return BatchLoader(*labelled_images(12), batch_size=4, shuffle=True)

    def val_dataloader(self):
        return BatchLoader(*labelled_images(7, seed=1), batch_size=4)

    def test_dataloader(self):
        return BatchLoader(*labelled_images(5, seed=2), batch_size=3)


def classifier(**changes):
    choices = {
        "net": partial(CNNSmall, widths=[4, 7]),
        "optimizer": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
        "scheduler": constant,
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
    return ImageClassifier(**(choices | changes))


def built(model=None, **facts):
    """A classifier with its net, without a trainer."""
    model = model or classifier()
    model.hparams["spec"] = SPEC | facts
    model.configure_model()
    return model


def trainer(epochs=1, *callbacks, **choices):
    quiet = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    choices = {"precision": "32-true", "accelerator": "cpu"} | quiet | choices
    return Trainer(max_epochs=epochs, callbacks=list(callbacks), log_every_n_steps=1, **choices)


class AtBatch(pl.Callback):
    """Calls a function with (trainer, model) before or after each training batch, and keeps what it returns."""

    def __init__(self, function, when="start"):
        self.function, self.when, self.values = function, when, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.when == "start":
            self.values.append(self.function(trainer, pl_module))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.when == "end":
            self.values.append(self.function(trainer, pl_module))


def save_after(step, path):
    """A callback that saves a checkpoint after an optimizer step."""
    return AtBatch(lambda trainer, model: trainer.save_checkpoint(path) if trainer.global_step == step else None, "end")
