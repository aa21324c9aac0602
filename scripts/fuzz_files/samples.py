"""Whole files of each kind, which the attacks then change: three small runs, images, tables, texts."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image
from pyarrow import csv, feather, parquet

from scripts.torture_resume.cases import write_data
from src.training.run import fit

IMAGES = "experiment=digits callbacks=images model.net.widths=[5] datamodule.batch_size=400 trainer.max_epochs=1"
TABLE = "experiment=table datamodule.train_files=rows.csv datamodule.target=late datamodule.task=binary"
TABLE += " model/net=entity_mlp datamodule.batch_size=200 model.net.widths=[9] trainer.max_epochs=1"
TEXT = "experiment=shakespeare datamodule=text_files datamodule.folder=words datamodule.batch_size=5"
TEXT += " datamodule.bptt=20 trainer.max_epochs=1 model.net.embedding_size=8 model.net.hidden_size=12"
CHOICES = {"images": IMAGES, "tables": TABLE, "text": TEXT}
FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "GIF": "png", "TIFF": "jpg"}


def overrides(domain: str, folder: Path, run_dir: Path) -> list[str]:
    """The choices of a small run on the data in a folder."""
    places = [f"data_dir={folder}/data", f"cache_dir={folder}/cache", f"run_dir={run_dir}"]
    return [*CHOICES[domain].split(), *places, "quiet=true", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"]


def make_samples(folder: Path) -> None:
    """Write data/ and questions/, and train runs/DOMAIN."""
    data, questions = folder / "data", folder / "questions"
    write_data(data)
    questions.mkdir()
    draw = np.random.default_rng(0)
    for kind, suffix in FORMATS.items():
        Image.fromarray(draw.integers(0, 256, (40, 30, 3), np.uint8)).save(questions / f"{kind}.{suffix}", kind)
    rows = (data / "rows.csv").read_bytes().split(b"\n")[:60]
    (questions / "rows.csv").write_bytes(b"\n".join(rows))
    with gzip.open(questions / "rows.csv.gz", "wb") as file:
        file.write(b"\n".join(rows))
    rows = csv.read_csv(questions / "rows.csv")
    parquet.write_table(rows, questions / "rows.parquet")
    feather.write_feather(rows, str(questions / "rows.feather"), "uncompressed")
    (questions / "words.txt").write_bytes((data / "words" / "words.txt").read_bytes())
    for domain in CHOICES:
        fit(overrides(domain, folder, folder / "runs" / domain))
