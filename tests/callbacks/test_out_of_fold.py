"""A fold in one command: what is tested, and what is left in its folder."""

import csv

import numpy as np
import pandas as pd
import pytest

from src.core.run_dir import RunDir
from tests.support.programs import composed, run_here

SHORT = ["callbacks=default", "~callbacks.report", "trainer.max_epochs=1", "datamodule.batch_size=16", "quiet=true"]


def rows_of(run_dir):
    with RunDir(run_dir).out_of_fold_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def train(tmp_path, *overrides):
    places = [f"{name}={tmp_path / name}" for name in ("run_dir", "data_dir", "cache_dir")]
    return run_here(composed(*SHORT, *places, *overrides))


@pytest.fixture
def people(tmp_path):
    """60 rows, some without a target."""
    (tmp_path / "data_dir").mkdir()
    frame = pd.DataFrame({"a": np.arange(60) % 7, "town": ["Bonn", "Ulm"] * 30, "y": ["no", "yes", "no"] * 20})
    frame["z"] = 2.5 * frame.a
    frame.loc[[3, 30], "y"] = None
    frame.to_csv(tmp_path / "data_dir" / "a.csv", index=False)
    return ["experiment=table", "datamodule.train_files=a.csv", "datamodule.fold=1", "datamodule.num_folds=3"]


def test_rows_of_a_table_are_numbered_as_in_its_file_and_have_the_tested_score(tmp_path, people):
    choice = ["datamodule.target=y", "datamodule.task=binary", "datamodule.on_missing_target=drop"]
    result = train(tmp_path, *people, *choice)
    rows, frame = rows_of(tmp_path / "run_dir"), pd.read_csv(tmp_path / "data_dir" / "a.csv")
    assert list(rows[0]) == ["row", "true label", "label", "no", "yes"]
    assert [row["true label"] for row in rows] == frame.y[[int(row["row"]) - 1 for row in rows]].tolist()
    right = np.mean([row["label"] == row["true label"] for row in rows])
    assert right == pytest.approx(result.scores["test/accuracy"])
    assert len(rows) in (19, 20)  # a third of 58


def test_numbers_are_in_their_own_units(tmp_path, people):
    result = train(tmp_path, *people, "datamodule.target=z", "datamodule.task=regression", "datamodule.ignored=[y]")
    true, found = ([float(row[head]) for row in rows_of(tmp_path / "run_dir")] for head in ("true z", "z"))
    assert sorted(set(true)) == pytest.approx([0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0], abs=1e-5)
    assert np.sqrt(np.mean(np.square(np.subtract(true, found)))) == pytest.approx(result.scores["test/rmse"], rel=1e-5)


def test_images_of_a_fold_are_those_that_the_seed_deals_to_it(tmp_path):
    result = train(tmp_path, "experiment=digits", "datamodule.fold=4", "datamodule.batch_size=64")
    rows = rows_of(tmp_path / "run_dir")
    assert [int(row["row"]) for row in rows] == result.datamodule.tested_rows()["row"]
    assert len(rows) == 359
    right = np.mean([row["label"] == row["true label"] for row in rows])
    assert right == pytest.approx(result.scores["test/accuracy"])


def test_a_run_without_a_fold_leaves_no_such_file(tmp_path, people):
    train(tmp_path, *people[:2], "datamodule.target=z", "datamodule.task=regression")
    assert not RunDir(tmp_path / "run_dir").out_of_fold_csv.exists()


def test_a_checkpoint_is_scored_on_its_own_fold_without_being_told(tmp_path, people, capsys):
    choice = [*people[:2], "datamodule.target=z", "datamodule.task=regression"]
    trained = train(tmp_path, *choice, *people[2:])
    rows = rows_of(tmp_path / "run_dir")
    best = tmp_path / "run_dir" / "checkpoints" / "best.ckpt"
    places = [f"run_dir={tmp_path / 'again'}", "task=test", f"checkpoint={best}"]
    scored = train(tmp_path, *choice, *places)
    assert scored.scores["test/rmse"] == trained.scores["test/rmse"]
    assert rows_of(tmp_path / "again") == rows
    assert (
        "are those of the checkpoint's training: datamodule.fold=1, datamodule.num_folds=3" in capsys.readouterr().err
    )
