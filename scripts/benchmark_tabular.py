"""Compares the training speed on a table: fastlight and torch loops on the same net.

    python -m scripts.benchmark_tabular [--quick] experiment=adult data_dir=PATH [key=value ...]
    python -m scripts.benchmark_tabular [--quick] experiment=flights datamodule.split=random

All variants train on the same rows with the same net, batches and epochs, on one thread. What counts is CPU seconds,
from the first step to the end of the last epoch. The variants take turns, each turn in a new process; the median over
the turns counts. The last line is one JSON object: `ratio` is lightning over bare, `ratio_to_plain` lightning over
plain.

    plain       a loop that indexes tensors, written with torch alone: a list of nn.Embedding, nn.Dropout, AdamW with
                its defaults; the validation loss after each epoch
    bare        the same loop with the experiment's own net and optimizer
    lightning   what `python train.py experiment=...` runs: our Trainer, loader and TabularModel, with all validation
                scores, the CSV logger, checkpoints and other callbacks
"""

import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from scripts.shared.processes import medians_of_turns
from src.core.check import check, composed
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.output import show
from src.models.dropout import Dropout

VARIANTS = ("plain", "bare", "lightning")


class EmbeddingLoop(nn.Module):
    """The embeddings of an EntityEmbedding, made of torch's own layers."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        sizes = zip(embedding.category_sizes, embedding.widths.tolist(), strict=True)
        self.columns = nn.ModuleList(nn.Embedding(size, width) for size, width in sizes)
        self.dropout = nn.Dropout(embedding.dropout.dropout)

    def forward(self, categories: Tensor) -> Tensor:
        """Turn categories (batch, columns), int64, into vectors (batch, sum of widths)."""
        return self.dropout(
            torch.cat([e(codes) for e, codes in zip(self.columns, categories.unbind(1), strict=True)], 1)
        )


def plain_net(net: Any) -> nn.Module:
    """Replace an EntityMLP's layers by torch's own."""
    net.embedding = EmbeddingLoop(net.embedding)
    for place, layer in enumerate(net.hidden):
        if isinstance(layer, Dropout):
            net.hidden[place] = nn.Dropout(layer.dropout)
    return net


class TrainingTime(pl.Callback):
    """Measures CPU seconds from the start of training to the end of its last epoch, with all callbacks."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.start = time.process_time()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = time.process_time() - self.start


def lightning(cfg: DictConfig) -> float:
    """Train as train.py does; returns CPU seconds."""
    times = TrainingTime()
    # The report would come after the measured time, and no config.yaml is here to be shown.
    chosen = [part for name, part in cfg.callbacks.items() if name != "report"]
    callbacks = [*(instantiate(part, _convert_="all") for part in chosen), times]
    loggers = [*instantiate(cfg.logger, _convert_="all").values()]
    trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, _convert_="all")
    trainer.fit(instantiate(cfg.model, _convert_="all"), instantiate(cfg.datamodule, _convert_="all"))
    return times.seconds


def loop(cfg: DictConfig, *, is_plain: bool) -> float:
    """Train in a loop of a dozen lines; returns CPU seconds."""
    data = instantiate(cfg.datamodule, _convert_="all")
    data.setup("fit")
    model = instantiate(cfg.model, _convert_="all")
    model.hparams["spec"] = data.spec
    model.configure_model()
    net = plain_net(model.net) if is_plain else model.net
    make_optimizer = torch.optim.AdamW if is_plain else model.make_optimizer
    optimizer = make_optimizer(net.parameters(), lr=model.lr)
    train, size = [tensor.contiguous() for tensor in data.splits["train"][:3]], cfg.datamodule.batch_size
    steps, epochs = len(train[0]) // size, cfg.trainer.max_epochs
    schedule = model.make_scheduler(optimizer, total_steps=steps * epochs)
    start = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(len(train[0]))
        net.train()
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            loss = loss_of(net, *(tensor[rows] for tensor in train))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            for batch in data.val_dataloader():
                loss_of(net, *batch).item()
    return time.process_time() - start


def loss_of(net: nn.Module, categories: Tensor, continuous: Tensor, targets: Tensor) -> Tensor:
    """Compute the binary cross-entropy of a batch."""
    return F.binary_cross_entropy_with_logits(net(categories.long(), continuous).squeeze(1), targets.float())


def rows_per_second(name: str, *, overrides: Sequence[str], rows: int) -> dict[str, float]:
    """Measure a variant's training, in rows per CPU second."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cfg = composed([*overrides, f"run_dir={folder}"])
        return {"rows/s": rows / (lightning(cfg) if name == "lightning" else loop(cfg, is_plain=name == "plain"))}


def rows_per_epoch(cfg: DictConfig) -> int:
    """Encode the rows, once for all turns, and count those of an epoch.

    Raises:
        ConfigError: the loops cannot train on this table.
    """
    data = instantiate(cfg.datamodule, _convert_="all")
    data.prepare_data()
    data.setup("fit")
    if data.spec["task"] != "binary" or cfg.model.net.num_members > 1 or cfg.model.net.y_range:
        raise ConfigError("the loops train a single net on a binary task: choose adult or flights")
    return len(data.splits["train"].targets) // cfg.datamodule.batch_size * cfg.datamodule.batch_size


def main(arguments: Sequence[str] | None = None) -> None:
    """Take turns, show each and the medians."""
    parser = command_line("benchmark_tabular", __doc__)
    parser.add_argument("overrides", nargs="*", help="experiment=NAME and key=value, as for train.py")
    parser.add_argument("--quick", action="store_true", help="3 turns instead of 5")
    args = parser.parse_intermixed_args(arguments)
    with readable_errors("train"):
        cfg = composed([*args.overrides, "run_dir=."])
        check(cfg)
        rows = rows_per_epoch(cfg) * cfg.trainer.max_epochs

    measure = partial(rows_per_second, overrides=args.overrides, rows=rows)
    median = medians_of_turns(VARIANTS, measure, repeats=3 if args.quick else 5)["rows/s"]
    result = {
        "ratio": round(median["lightning"] / median["bare"], 3),
        "ratio_to_plain": round(median["lightning"] / median["plain"], 3),
        "rows_per_cpu_second": {name: round(value) for name, value in median.items()},
        "rows": rows,
        "batch_size": cfg.datamodule.batch_size,
    }
    show(json.dumps(result | hardware()))


if __name__ == "__main__":
    main()
