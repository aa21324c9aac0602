"""Compares the training speed of ResNet-18 on 32x32 images: fastlight and a plain Lightning + DataLoader pipeline.

    python -m scripts.benchmark_images [--quick] [--repeats 5]

All pipelines train one net with one optimizer, one batch size, flips and padded crops. They differ in how they make
batches and how they run a step. The images are random, as speed does not depend on what they show. The pipelines take
turns, each turn in a new process; the median over the turns counts. The last line is one JSON object; `ratio` is ours
over plain.

    plain       Pillow transforms of single images in DataLoader workers, fp32, PyTorch's default layout and AdamW
    plain_bf16  the same with bf16-mixed and channels_last
    ours        BatchLoader and ImageClassifier: bf16-mixed where it pays, channels_last, fused AdamW
"""

import json
import logging
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from scripts.shared.processes import medians_of_turns
from src.core.check import composed
from src.core.output import show
from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit
from src.training.trainer import Trainer

NUM_CLASSES = 10
LR = 1e-3
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
CHOICES = [
    *(
        "experiment=digits",
        "model/net=resnet18",
        "model/optimizer=adamw",
        "model/scheduler=one_cycle",
        f"model.lr={LR}",
    ),
    *("datamodule._target_=scripts.benchmark_images.RandomImages", "~datamodule.test_fraction"),
    *("datamodule.drop_last=true", "datamodule.keep_on_device=true"),
    *("datamodule.augmentation.flip=true", "datamodule.augmentation.crop_padding=4"),
]
VARIANTS = ("plain", "plain_bf16", "ours")


class PlainDataset(Dataset[tuple[Tensor, int]]):
    """Transforms one image at a time, as torchvision's transforms do: pad, crop, flip, to tensor, normalise."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels = pixels
        self.labels = labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.pixels[row]), 4)
        left, top = torch.randint(0, 9, (2,)).tolist()
        image = image.crop((left, top, left + 32, top + 32))
        if torch.rand(()) < 0.5:
            image = ImageOps.mirror(image)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (tensor - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1), int(self.labels[row])


class PlainModule(pl.LightningModule):
    """The LightningModule of most tutorials."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.net = instantiate(composed(CHOICES).model.net, _convert_="all")(3, NUM_CLASSES)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(self.net(images), labels)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=LR)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class RandomImages(ImageData):
    """The same images as a DataModule of fastlight."""

    class_names = [str(label) for label in range(NUM_CLASSES)]

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, **choices: Any) -> None:
        self.whole = ImageSplit(torch.from_numpy(pixels), torch.from_numpy(labels))
        super().__init__(**choices)

    def read(self) -> dict[str, ImageSplit]:
        return {"train": self.whole, "valid": self.whole, "test": self.whole}


class StepTimes(pl.Callback):
    """Notes the clock at the end of each step: the differences hold all that a step costs, its batch included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def ours(pixels: np.ndarray, labels: np.ndarray, batch_size: int, settings: dict[str, Any]) -> None:
    """Train with fastlight's own parts, as the experiments compose them."""
    cfg = composed([*CHOICES, f"datamodule.batch_size={batch_size}"])
    datamodule = instantiate(cfg.datamodule, _convert_="all", _partial_=True)(pixels, labels)
    Trainer(precision="auto", **settings).fit(instantiate(cfg.model, _convert_="all"), datamodule)


def plain(pixels: np.ndarray, labels: np.ndarray, batch_size: int, settings: dict[str, Any], *, bf16: bool) -> None:
    """Train with Dataset, DataLoader and LightningModule as most people write them."""
    loader = DataLoader(
        PlainDataset(pixels, labels), batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    settings = {"enable_progress_bar": False, "enable_model_summary": False, **settings}  # our Trainer decides itself
    pl.Trainer(precision="bf16-mixed" if bf16 else "32-true", **settings).fit(PlainModule(channels_last=bf16), loader)


def images_per_second(name: str, *, batch_size: int, steps: int) -> dict[str, float]:
    """Measure one turn of a variant: two steps to warm up, then `steps` steps."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice on workers and logging intervals
    pl.seed_everything(0, verbose=False)
    num_rows = batch_size * (steps + 2)
    pixels = np.random.default_rng(0).integers(0, 256, (num_rows, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(num_rows) % NUM_CLASSES
    times = StepTimes()
    settings = {"max_epochs": 1, "callbacks": [times], "logger": False, "limit_val_batches": 0}
    train = ours if name == "ours" else partial(plain, bf16=name == "plain_bf16")
    train(pixels, labels, batch_size, {**settings, "enable_checkpointing": False})
    return {"images/s": batch_size * steps / (times.ends[-1] - times.ends[1])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Take turns, show each and the medians."""
    parser = command_line("benchmark_images", __doc__)
    parser.add_argument("--quick", action="store_true", help="batch 64, 3 steps, 2 turns: under 2 minutes")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    args = parser.parse_args(arguments)
    batch_size, steps, repeats = (64, 3, 2) if args.quick else (128, 6, args.repeats)
    measure = partial(images_per_second, batch_size=batch_size, steps=steps)
    median = medians_of_turns(VARIANTS, measure, repeats=repeats)["images/s"]
    result = {
        "ratio": round(median["ours"] / median["plain"], 3),
        "ratio_to_plain_bf16": round(median["ours"] / median["plain_bf16"], 3),
        "images_per_second": {name: round(value, 1) for name, value in median.items()},
        "batch_size": batch_size,
    }
    show(json.dumps(result | hardware()))


if __name__ == "__main__":
    main()
