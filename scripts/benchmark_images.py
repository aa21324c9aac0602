"""Training throughput of ResNet-18 on 32x32 pictures: fastlight beside a plain Lightning + DataLoader pipeline.

    python -m scripts.benchmark_images [--quick] [--batch-size 128] [--steps 6] [--repeats 5]

One net, one optimizer, one batch size, flip and padded crop in all: what differs is how batches are made and how a step
is run. The pictures are drawn at random: speed does not depend on what they show. Variants take turns, each turn in a
process of its own, and the median over the turns counts. The last line is one JSON object; `ratio` is ours over plain.

    plain       Pillow transforms for each picture in DataLoader workers, fp32, PyTorch's default layout and AdamW
    plain_bf16  the same with bf16-mixed and channels_last
    ours        BatchLoader and ImageClassifier: bf16-mixed where it pays, channels_last, fused AdamW
"""

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from src.datamodules.images.augmentation import Augmentation
from src.datamodules.images.base import ImageData
from src.datamodules.images.split import Images
from src.models.images.classifier import ImageClassifier
from src.models.images.resnet import ResNet
from src.models.schedules import one_cycle
from src.training.trainer import Trainer

NUM_CLASSES = 10
LR = 1e-3
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
MAKE_NET = partial(
    ResNet, blocks=[2, 2, 2, 2], bottleneck=False, width=64, stem="small", zero_init_residual=True, antialias=False
)


class PlainDataset(Dataset[tuple[Tensor, int]]):
    """Transforms one picture at a time, as torchvision's transforms do: pad, crop, flip, to tensor, normalise."""

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
        self.net = MAKE_NET(3, NUM_CLASSES)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

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


class RandomPictures(ImageData):
    """The same pictures as fastlight's DataModule."""

    class_names = [str(label) for label in range(NUM_CLASSES)]

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, batch_size: int) -> None:
        self.whole = Images(torch.from_numpy(pixels), torch.from_numpy(labels))
        nothing = {"rotation": 0.0, "translation": 0.0, "scale": 0.0, "color": 0.0, "erasing": 0.0}
        augmentation = Augmentation(flip=True, crop_padding=4, mixup=0.0, cutmix=0.0, **nothing)
        super().__init__(
            batch_size=batch_size,
            valid_fraction=0.1,
            classes=None,
            train_per_class=None,
            drop_last=True,
            keep_on_device=True,
            seed=0,
            augmentation=augmentation,
        )

    def read(self) -> dict[str, Images]:
        return {"train": self.whole, "valid": self.whole, "test": self.whole}


class StepTimes(pl.Callback):
    """Wall seconds from the end of one step to the end of the next: whatever a step costs, its batch included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def ours(pixels: np.ndarray, labels: np.ndarray, batch_size: int) -> tuple[Any, ...]:
    """fastlight's own parts, as the experiments compose them."""
    scheduler = partial(
        one_cycle,
        warmup_fraction=0.25,
        start_ratio=0.04,
        final_ratio=4e-6,
        momentum_low=0.85,
        momentum_high=0.95,
        anneal="cos",
    )
    model = ImageClassifier(
        net=MAKE_NET,
        optimizer=partial(torch.optim.AdamW, fused=True),
        scheduler=scheduler,
        lr=LR,
        lr_ratio=1.0,
        label_smoothing=0.0,
        flip_tta=False,
        backbone=None,
        compile=False,
    )
    return model, {"datamodule": RandomPictures(pixels, labels, batch_size)}, "auto"


def plain(pixels: np.ndarray, labels: np.ndarray, batch_size: int, bf16: bool) -> tuple[Any, ...]:
    """Dataset, DataLoader and LightningModule as most people write them."""
    loader = DataLoader(
        PlainDataset(pixels, labels), batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    return PlainModule(channels_last=bf16), {"train_dataloaders": loader}, "bf16-mixed" if bf16 else "32-true"


VARIANTS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "plain": partial(plain, bf16=False),
    "plain_bf16": partial(plain, bf16=True),
    "ours": ours,
}


def images_per_second(name: str, batch_size: int, steps: int) -> float:
    """One turn of a variant: two steps to warm up, then `steps` steps."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice on workers and logging intervals
    pl.seed_everything(0, verbose=False)
    rows = np.random.default_rng(0)
    num_rows = batch_size * (steps + 2)
    pixels = rows.integers(0, 256, (num_rows, 32, 32, 3), dtype=np.uint8)
    labels = rows.integers(0, NUM_CLASSES, num_rows)
    model, data, precision = VARIANTS[name](pixels, labels, batch_size)
    times = StepTimes()
    settings = {"max_epochs": 1, "callbacks": [times], "logger": False, "limit_val_batches": 0}
    settings |= {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    if name == "ours":
        del settings["enable_progress_bar"], settings["enable_model_summary"]  # our Trainer decides
    trainer = (Trainer if name == "ours" else pl.Trainer)(precision=precision, **settings)
    trainer.fit(model, **data)
    return batch_size * steps / (times.ends[-1] - times.ends[1])


def hardware() -> str:
    """The GPU, or the CPU and its cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    """Take turns, print each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="batch 64, 3 steps, 2 turns: under 2 minutes")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=6, help="timed steps in a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    args = parser.parse_args()
    if args.quick:
        args.batch_size, args.steps, args.repeats = 64, 3, 2

    speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(args.repeats):
        for name in VARIANTS:
            # Its own process: what ours changes for the whole process must not serve the others.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                turn_result = process.submit(images_per_second, name, args.batch_size, args.steps)
                speeds[name].append(turn_result.result())
        print(f"turn {turn}: " + ", ".join(f"{name} {s[-1]:.1f} images/s" for name, s in speeds.items()), flush=True)
    median = {name: statistics.median(values) for name, values in speeds.items()}
    result = {
        "ratio": round(median["ours"] / median["plain"], 3),
        "ratio_to_plain_bf16": round(median["ours"] / median["plain_bf16"], 3),
        "images_per_second": {name: round(value, 1) for name, value in median.items()},
        "batch_size": args.batch_size,
        "hardware": hardware(),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
