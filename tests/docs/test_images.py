"""Every recipe of docs/images.md: its files are written, its command trains, and finds what the page says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.programs import composed, metrics_of, run_here

PAGE = (Path(__file__).parents[2] / "docs" / "images.md").read_text()
# The files or the CSV, the command, what is found.
RECIPES = re.findall(r"```(text|csv)\n([^`]+)```\n\n```bash\n(.+)\n```\n\n```text\n(.+)\n```", PAGE)
SMALL = (
    "experiment=digits",
    "datamodule=image_folder",
    "datamodule.image_size=8",
    "datamodule.augmentation.flip=false",
)
SMALL += ("model.net.widths=[4]", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "callbacks=default")
SMALL += ("~callbacks.report", "datamodule.batch_size=2", "datamodule.drop_last=false")


def write_files(folder, kind, text):
    """The files of a recipe; those of a CSV lie where it says."""
    photos = folder / "photos"
    paths = [folder / line for line in text.split()]
    if kind == "csv":
        photos.mkdir()
        (photos / "labels.csv").write_text(text)
        paths = [photos / f"{line.split(',')[0].removesuffix('.jpg')}.jpg" for line in text.splitlines()[1:]]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (9, 7, 3), np.uint8)
        Image.fromarray(pixels).save(path)


def test_there_is_a_recipe_for_each_layout():
    assert len(RECIPES) == 6


@pytest.mark.parametrize(("kind", "files", "command", "found"), RECIPES, ids=[recipe[3] for recipe in RECIPES])
def test_a_recipe_trains_and_finds_what_the_page_says(tmp_path, capsys, kind, files, command, found):
    write_files(tmp_path, kind, files)
    keys = [word for word in shlex.split(command) if word.startswith("datamodule.")]
    assert len(keys) == len(shlex.split(command)) - 3  # python train.py experiment=...
    places = (f"data_dir={tmp_path}", f"cache_dir={tmp_path}/cache", f"run_dir={tmp_path}/run")
    run_here(composed(*SMALL, *places, *keys))
    assert f"{tmp_path}/photos: {found}\n" in capsys.readouterr().out
    assert any(name.startswith("test/") for name in metrics_of(tmp_path / "run"))
