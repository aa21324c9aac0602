from pathlib import Path

import pytest

from src.loggers.csv_logger import CSVLogger


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def lines(folder: Path):
    return (folder / "metrics.csv").read_text().splitlines()


def logger(folder, **config):
    made = CSVLogger(save_dir=str(folder))
    made.log_hyperparams({"task": "fit", "resume": False, "checkpoint": None, **config})
    return made


def test_each_call_is_a_row_on_disk_at_once(folder):
    csv = logger(folder)
    csv.log_metrics({"loss": 0.5}, step=3)
    assert lines(folder) == ["step,loss", "3,0.5"]
    csv.log_metrics({"loss": 0.25}, step=4)
    assert lines(folder) == ["step,loss", "3,0.5", "4,0.25"]


def test_a_new_name_becomes_a_column_of_the_older_rows_too(folder):
    csv = logger(folder)
    csv.log_metrics({"loss": 0.5}, step=0)
    csv.log_metrics({"accuracy": 0.75}, step=1)
    assert lines(folder) == ["step,accuracy,loss", "0,,0.5", "1,0.75,"]


def earlier_run(folder, steps=4):
    csv = logger(folder)
    for step in range(steps):
        csv.log_metrics({"loss": float(step)}, step=step)


def test_a_resumed_run_replaces_the_rows_from_its_first_step_on(folder):
    earlier_run(folder)
    logger(folder, resume=True).log_metrics({"loss": 9.0}, step=2)
    assert lines(folder) == ["step,loss", "0,0.0", "1,1.0", "2,9.0"]


def test_of_the_rows_of_one_step_those_that_the_checkpoint_counts_stay(folder):
    csv = logger(folder)
    csv.log_metrics({"val/loss": 7.0}, step=2)  # between two batches that accumulate
    counted = csv.state_dict()
    csv.log_metrics({"loss": 8.0}, step=2)
    resumed = logger(folder, resume=True)
    resumed.load_state_dict(counted)
    resumed.log_metrics({"loss": 9.0}, step=2)
    assert lines(folder) == ["step,loss,val/loss", "2,,7.0", "2,9.0,"]


def test_a_row_that_follows_the_checkpoint_of_an_epochs_end_stays(folder):
    earlier_run(folder)
    resumed = logger(folder, resume=True)
    resumed.load_state_dict({"rows": 2})
    resumed.log_metrics({"loss": 9.0}, step=3)
    assert lines(folder) == ["step,loss", "0,0.0", "1,1.0", "2,2.0", "3,9.0"]


def test_rows_are_counted_over_a_resumed_run(folder):
    earlier_run(folder, steps=5)
    resumed = logger(folder, resume=True)
    resumed.load_state_dict({"rows": 2})
    resumed.log_metrics({"loss": 9.0}, step=2)
    assert resumed.state_dict() == {"rows": 3}


def test_a_run_from_a_checkpoint_of_the_same_folder_continues_as_well(folder):
    earlier_run(folder)
    logger(folder, checkpoint="last.ckpt").log_metrics({"loss": 9.0}, step=3)
    assert len(lines(folder)) == 5


def test_a_new_run_in_an_old_folder_starts_a_new_file(folder):
    earlier_run(folder)
    logger(folder).log_metrics({"loss": 9.0}, step=2)
    assert lines(folder) == ["step,loss", "2,9.0"]


def test_a_test_adds_its_row_to_those_of_the_training(folder):
    earlier_run(folder)
    logger(folder, task="test", checkpoint="best.ckpt").log_metrics({"test/accuracy": 1.0}, step=0)
    assert lines(folder) == ["step,loss,test/accuracy", "0,0.0,", "1,1.0,", "2,2.0,", "3,3.0,", "0,,1.0"]
