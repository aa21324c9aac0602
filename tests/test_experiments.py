"""Every experiment composes, says what to expect, and trains two batches on data of the right format."""

import re

import pytest

from src.core.check import check
from tests.support.make_data import write_image_folder, write_sets
from tests.support.programs import ROOT, composed, metrics_of, run_here

# What a user has to say, too.
OWN = {"table": ["datamodule.train_files=own.csv", "datamodule.target=late", "datamodule.task=binary"]}
OWN["table_best"] = OWN["table"]
OWN["text"] = ["datamodule.folder=own_texts", "datamodule.bptt=5"]
OWN["fine_tune"] = ["datamodule.folder=photos", "datamodule.image_size=32"]
OWN["images"] = ["datamodule.folder=photos", "datamodule.image_size=16", "datamodule.cache_size=24"]
OWN["collab"] = ["datamodule.train_files=own.csv", "datamodule.target=wind", "datamodule.categorical=[day,late]"]
FOLDER = ROOT / "conf" / "experiment"
EXPERIMENTS = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_fits_the_code(name, tmp_path):
    config = composed(f"experiment={name}", f"run_dir={tmp_path}", *OWN.get(name, []))
    check(config)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_opens_with_hardware_time_and_score(name):
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    comment = next(line for line in lines if not line.startswith("# @package"))
    assert re.match(r"# \S", comment), comment
    assert re.search(r"CPU|H200|A100|GPU", comment), comment
    assert re.search(r"\d ?(s|min|h)\b", comment), comment
    assert re.search(r"(accuracy|auroc|loss|perplexity|rmse)\S* (0?\.\d+|\d+)", comment), comment


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Each set that is not made up of an installed package's data, small, in the files that it is published in."""
    folder = tmp_path_factory.mktemp("data")
    write_sets(folder)
    rows = [f"{row % 3},{row % 7 / 2},{('no', 'yes')[row % 2]}" for row in range(60)]
    (folder / "own.csv").write_text("\n".join(["day,wind,late", *rows]))
    (folder / "own_texts").mkdir()
    (folder / "own_texts" / "a.txt").write_text("the cat sat on the mat\n" * 200)
    return folder


def shortened(name, run_dir, data_dir):
    """An experiment of one epoch of two batches."""
    places = [f"run_dir={run_dir}", f"data_dir={data_dir}", f"cache_dir={data_dir}/cache"]
    short = [f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    short += ["trainer.log_every_n_steps=1", "trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"]
    short += ["datamodule.batch_size=8", "~callbacks.report"]  # a report takes longer than two batches
    return composed(f"experiment={name}", *places, *short, *OWN.get(name, []))


# Large nets or data; others of their kind are quick.
LARGE = {"shakespeare", "flights", "flights_random", "flights_ensemble", "wikitext2_lstm", "wikitext2_qrnn"}
LARGE |= {"fashion_mnist_5min", "cifar10_5min", "cifar10_15min"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in LARGE else []) for n in EXPERIMENTS])
def test_an_experiment_trains_two_batches(name, tmp_path, data_dir):
    config = shortened(name, tmp_path / "run", data_dir)
    if config.datamodule.get("folder") and "train_files" not in config.datamodule:
        write_image_folder(data_dir / config.datamodule.folder)
    if config.datamodule.get("train_per_class"):
        config.datamodule.train_per_class = 8
    run_here(config)
    assert metrics_of(tmp_path / "run")["train/steps"] == 2
