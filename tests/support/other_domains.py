"""Trains a step and predicts in each domain that this tree has."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_diabetes

import predict
from src.core.check import check, composed
from src.core.domains import domains
from src.training.run import run

SHORT = [f"trainer.limit_{split}_batches=1" for split in ("train", "val", "test")] + ["trainer.max_epochs=1"]
SMALL = {
    "images": ["experiment=digits", "model.net.widths=[5]"],
    "tables": ["experiment=diabetes"],
    "text": ["experiment=shakespeare", "model.net.hidden_size=8", "model.net.embedding_size=8", "datamodule.bptt=5"],
}


def ask_images(folder):
    """The path of an image."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.png")
    return [f"input={folder}/a.png"]


def ask_tables(folder):
    """The path of a table."""
    load_diabetes(as_frame=True, scaled=False).data.head(3).to_csv(folder / "new.csv")
    return [f"input={folder}/new.csv"]


def ask_text(folder):
    """A prompt."""
    return ["prompt='to be'", "length=2"]


ASK = {"images": ask_images, "tables": ask_tables, "text": ask_text}


def main(folder):
    """Print the names of the domains that work; a folder keeps what they write."""
    folder = Path(folder)
    for domain in domains():
        run_dir = folder / domain.name
        places = [f"run_dir={run_dir}", f"cache_dir={folder}/cache", f"data_dir={folder}/data"]
        config = composed([*SMALL[domain.name], *SHORT, *places])
        check(config)
        run(config)
        question = [f"checkpoint={run_dir}/checkpoints/last.ckpt", *ASK[domain.name](folder)]
        config = composed([*question, f"output={folder}/{domain.name}.csv"], "predict")
        check(config, predict.PREDICT)
        assert predict.run(config) == 0
        print(f"works: {domain.name}")
