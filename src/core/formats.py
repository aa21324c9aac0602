"""The formats of checkpoints and of config.yaml: what each has changed. src/core/migrations.py applies it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TRAIN = "train"  # stands for a class whose arguments are the keys of conf/train.yaml


@dataclass(frozen=True)
class Migration:
    """What one format changed. A class or function is named as it is called since, with its module.

    Attributes:
        renamed: classes and functions, name before: name since. States of callbacks, loggers and data follow.
        arguments: class or function: {argument before: argument since}.
        added: class or function: {argument: the value that does what was done before}.
        removed: class or function: {argument: the value that does what is done since}; another value is refused.
        weights: class of a net or model: {regular expression for names of weights: replacement}, as in re.sub.
        states: keys of callbacks' states, before: since, which `renamed` does not cover.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    removed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)


AUGMENTATION = "src.datamodules.images.augmentation.Augmentation"
IMAGES = [f"src.datamodules.images.{n}" for n in ("cifar10.CIFAR10", "digits.Digits", "fashion_mnist.FashionMNIST")]
IMAGES += ["src.datamodules.images.folder.ImageFolder", "src.datamodules.images.mnist.MNIST"]
TABLES = [f"src.datamodules.tables.{n}" for n in ("adult.Adult", "diabetes.Diabetes", "flights.Flights", "own.Table")]
TABLES += ["src.datamodules.tables.function.Function", "src.datamodules.tables.rossmann.Rossmann"]
TEXTS = ["src.datamodules.text.files.TextFiles", "src.datamodules.text.shakespeare.Shakespeare"]
NO_FOLD = {"fold": None, "num_folds": 5}

# The first one makes format 2 of format 1, the next one 3 of 2, and so on. The last one is extended until there is a
# tests/golden/format_N of its format, which a release makes; from then on it stays as it is. See CONTRIBUTING.md.
MIGRATIONS: list[Migration] = [
    Migration(
        renamed={
            "src.callbacks.freezing.Freezing": "src.callbacks.fine_tuning.FineTuning",
            "timm.create_model": "src.models.images.timm_net.TimmNet",
        },
        weights={"src.models.images.timm_net.TimmNet": {r"^net\.": "net.net."}},
        added={
            "src.callbacks.fine_tuning.FineTuning": {
                "groups": [1, None],
                "lr": None,
                "lr_ratio": None,
                "keep_statistics": False,
            },
            "src.callbacks.stop_signals.StopSignals": {"save_every_minutes": 10},  # changes no result
            "src.models.images.classifier.ImageClassifier": {
                "class_weights": None,
                "regression_loss": "mse",
                "fit_head": False,
                "crop_tta": 0,
            },
            "src.models.images.timm_net.TimmNet": {"weights_file": None},
            "src.models.muon.Muon": {"bias_ratio": None, "renormalise": False},
            "src.models.tables.entity_mlp.EntityMLP": {"embedding_std": 0.01, "max_input_size": None},
            "src.models.tables.tabular_model.TabularModel": {"answer_margin": None},
            **{data: {"global_batch_size": None, "weighted_sampling": False, **NO_FOLD} for data in IMAGES},
            **{data: {"global_batch_size": None, **NO_FOLD} for data in TEXTS},
            "src.datamodules.text.files.TextFiles": {"global_batch_size": None, "split": "end", **NO_FOLD},
            **{
                data: {"global_batch_size": None, "clip_numbers": False, "row_weight": None, **NO_FOLD}
                for data in TABLES
            },
            "src.datamodules.images.folder.ImageFolder": {
                "task": "classification",
                "labels": None,
                "label_regex": None,
                "path_column": "path",
                "label_column": "label",
                "split_column": None,
                "label_separator": " ",
                "y_range": None,
                "weighted_sampling": False,
                "global_batch_size": None,
                **NO_FOLD,
                "max_pixels": 100_000_000,  # larger files were read before; no result changes without them
                "cache_size": None,
                "resize": "crop",
                "max_cache_mb": None,
            },
            AUGMENTATION: {"crop_scale": None, "crop_ratio": [0.75, 1.333], "lighting": 0.0},
        },
    ),
]
