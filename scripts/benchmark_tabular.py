"""Training throughput on tables: fastlight beside a bare torch loop on the same net.

    python -m scripts.benchmark_tabular [--quick] [--shape adult|flights] [--epochs 10] [--repeats 5]

One net (EntityMLP, 200-100), one optimizer and schedule, the same rows, batches and epochs in both; one thread. The
rows are drawn at random in the shape of the real sets: speed does not depend on what they tell. CPU seconds count, from
the first step to the end of the last epoch. Variants take turns, each turn in a process of its own, and the median over
the turns counts. The last line is one JSON object; `ratio` is lightning over bare.

    bare        a loop that indexes tensors, and takes the validation loss after each epoch
    lightning   what `python train.py experiment=adult` runs: our Trainer, BatchLoader and TabularModel, with all its
                validation scores, CSV logger, checkpoints and other callbacks
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

import src.config  # noqa: F401  (registers the resolvers that conf uses)
from src.datamodules.loader import BatchLoader

CONF = Path(__file__).resolve().parent.parent / "conf"
BATCH_SIZE = 1024
# Codes of each categorical column, continuous columns, rows to train and to validate on.
SHAPES: dict[str, tuple[list[int], int, int, int]] = {
    "adult": ([10, 18, 9, 16, 8, 7, 4, 43], 6, 29_305, 3_256),
    "flights": ([18, 107, 4046, 5, 14, 33, 9, 3845, 26, 9, 33, 400], 10, 262_000, 32_000),
}


class RandomTable(pl.LightningDataModule):
    """Random rows of a shape, as TableData gives them."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        self.sizes, self.num_continuous, *counts = SHAPES[shape]
        torch.manual_seed(0)
        self.train, self.valid = map(self._rows, counts)
        self.batch_size = BATCH_SIZE

    def _rows(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        categories = torch.stack([torch.randint(size, (count,)) for size in self.sizes], 1)
        continuous = torch.randn(count, self.num_continuous)
        return categories, continuous, (torch.randn(count) + continuous[:, 0] > 1).long()

    @property
    def spec(self) -> dict[str, Any]:
        """What TableData says of a binary task."""
        return {
            "task": "binary",
            "category_sizes": self.sizes,
            "num_continuous": self.num_continuous,
            "num_outputs": 1,
            "class_names": ["no", "yes"],
            "continuous_bins": torch.linspace(-2, 2, 49).expand(self.num_continuous, 49).tolist(),
            "target_range": [],
            "processing": {},
        }

    def train_dataloader(self) -> BatchLoader:
        return BatchLoader(*self.train, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)

    def val_dataloader(self) -> BatchLoader:
        return BatchLoader(*self.valid, batch_size=BATCH_SIZE)


class TrainingTime(pl.Callback):
    """CPU seconds from the start of training to the end of its last epoch, all callbacks included."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.start = time.process_time()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = time.process_time() - self.start


def lightning(data: RandomTable, epochs: int) -> float:
    """Train as train.py does; returns CPU seconds."""
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["experiment=adult", f"run_dir={folder}", f"trainer.max_epochs={epochs}"])
        times = TrainingTime()
        callbacks = [*instantiate(cfg.callbacks, _convert_="all").values(), times]
        loggers = [*instantiate(cfg.logger, _convert_="all").values()]
        trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, _convert_="all")
        trainer.fit(instantiate(cfg.model, _convert_="all"), data)
    return times.seconds


def bare(data: RandomTable, epochs: int) -> float:
    """A loop of a dozen lines on the same net, optimizer and schedule; returns CPU seconds."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["experiment=adult"]).model
    model = instantiate(cfg, _convert_="all")
    model.hparams["spec"] = data.spec
    model.configure_model()
    net = model.net
    steps = len(data.train[0]) // BATCH_SIZE
    optimizer = model.make_optimizer(net.parameters(), lr=model.lr)
    schedule = model.make_scheduler(optimizer, total_steps=steps * epochs)
    start = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(len(data.train[0]))
        net.train()
        for step in range(steps):
            rows = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            categories, continuous, targets = (tensor[rows] for tensor in data.train)
            loss = F.binary_cross_entropy_with_logits(net(categories, continuous).squeeze(1), targets.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            for categories, continuous, targets in data.val_dataloader():
                F.binary_cross_entropy_with_logits(net(categories, continuous).squeeze(1), targets.float()).item()
    return time.process_time() - start


VARIANTS: dict[str, Callable[[RandomTable, int], float]] = {"bare": bare, "lightning": lightning}


def rows_per_second(name: str, shape: str, epochs: int) -> float:
    """One turn of a variant."""
    torch.set_num_threads(1)
    data = RandomTable(shape)
    steps = len(data.train[0]) // BATCH_SIZE
    return steps * BATCH_SIZE * epochs / VARIANTS[name](data, epochs)


def main() -> None:
    """Take turns, print each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 epochs, 3 turns: a minute on adult")
    parser.add_argument("--shape", choices=SHAPES, default="adult")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    args = parser.parse_args()
    if args.quick:
        args.epochs, args.repeats = 5, 3

    speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(args.repeats):
        for name in VARIANTS:
            # Its own process: what the Trainer changes for the whole process must not serve the other.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                speeds[name].append(process.submit(rows_per_second, name, args.shape, args.epochs).result())
        print(f"turn {turn}: " + ", ".join(f"{name} {s[-1]:,.0f} rows/s" for name, s in speeds.items()), flush=True)
    median = {name: statistics.median(values) for name, values in speeds.items()}
    result = {
        "ratio": round(median["lightning"] / median["bare"], 3),
        "rows_per_cpu_second": {name: round(value) for name, value in median.items()},
        "shape": args.shape,
        "batch_size": BATCH_SIZE,
        "epochs": args.epochs,
        "hardware": f"{torch.cpu.get_capabilities().get('cpu_name') or platform.processor()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
