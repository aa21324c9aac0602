"""Shows what a net would get: batches of an experiment's training data, after augmentation, without any training.

    python -m scripts.show experiment=images datamodule.folder=pets [key=value ...] [--output show.html]

Writes one page that needs no other file: images with their labels, rows of a table in words beside the numbers that the
net gets, or windows of a text. The rows are those of the first batches of a training with this seed; what is drawn at
random, such as crops, is drawn anew.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from markupsafe import Markup

from scripts.shared.arguments import command_line
from src.core.check import check, composed
from src.core.domains import Domain, domain_of
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.files import write_text
from src.core.output import show
from src.core.run_config import with_fetched_data
from src.report.page import render
from src.training.trainer import Trainer

FIXED = ["callbacks=none", "logger=none", "run_dir=unused"]
NUM_BATCHES = 2


def page(overrides: Sequence[str]) -> str:
    """The page of an experiment's data.

    Args:
        overrides: key=value as for train.py.

    Raises:
        ConfigError: a key or a value is wrong, or no domain knows these data.
    """
    cfg = composed([*overrides, *FIXED])
    check(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule: Any = instantiate(with_fetched_data(cfg).datamodule, _convert_="all")
    batches = training_batches(datamodule, NUM_BATCHES)
    domain = domain_of(datamodule.spec)
    if domain is None:
        raise ConfigError(f"no domain in src/domains knows what {type(datamodule).__name__} holds")
    counts = {split: len(datamodule.loader(split)) for split in ("train", "valid", "test")}
    opening = Markup("<pre><code>python -m scripts.show {}</code></pre><p>{}</p>").format(
        " ".join(overrides), f"Batches: {', '.join(f'{split} {count:,}' for split, count in counts.items())}."
    )
    return render(f"{domain.title} to train on", opening, Domain.load(domain.shown)(datamodule, batches))


def training_batches(datamodule: Any, count: int) -> list[Any]:
    """The first batches of training, on the CPU, after augmentation."""
    trainer = Trainer(precision="32-true", accelerator="cpu", logger=False, enable_checkpointing=False)
    datamodule.trainer = trainer
    datamodule.prepare_data()
    datamodule.setup("fit")
    trainer.training = True  # augmentation asks for it
    return [datamodule.on_after_batch_transfer(batch, 0) for batch in islice(datamodule.train_dataloader(), count)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and show its path."""
    parser = command_line("show", __doc__)
    parser.add_argument("overrides", nargs="*", help="experiment=NAME and key=value, as for train.py")
    parser.add_argument("--output", default="show.html", help="the page, an HTML file")
    args = parser.parse_intermixed_args(arguments)
    with readable_errors("train"):
        write_text(Path(args.output), page(args.overrides))
        show(args.output)


if __name__ == "__main__":
    main()
