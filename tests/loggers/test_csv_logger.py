import os
from pathlib import Path

import pytest

from src.core.saving import SaveError, set_on_save_error
from src.loggers.csv_logger import CSVLogger
from tests.support.disks import files_limited_to


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
    csv.log_metrics({"accuracy": 0.5, "loss": 0.25, "rate": 2.0}, step=2)
    assert lines(folder) == ["step,accuracy,loss,rate", "0,,0.5,", "1,0.75,,", "2,0.5,0.25,2.0"]


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


def resumed_after(folder, damage, counted=4):
    """The lines after a resume from a checkpoint that counts four rows, from step 4 on, with a damaged file."""
    earlier_run(folder)
    damage(folder / "metrics.csv")
    resumed = logger(folder, resume=True)
    resumed.load_state_dict({"rows": counted})
    resumed.log_metrics({"loss": 9.0}, step=4)
    return lines(folder)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        pytest.param(lambda path: path.write_text("step,loss\n0,0.0\n1,1.0\n"), 2, id="rows are missing"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size - 3), 3, id="cut within a row"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size - 6), 3, id="cut within a step"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-7] + b"\0" * 7), 3, id="zeros"),
        pytest.param(lambda path: path.write_bytes(b""), 0, id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\0" * 99), 0, id="zeros alone"),
        pytest.param(lambda path: path.write_bytes(b"\xff" * 9 + b"\n1,2\n"), 0, id="another head"),
        pytest.param(lambda path: path.unlink(), 0, id="gone"),
    ],
)
def test_rows_that_the_checkpoint_counts_and_are_lost_are_told(folder, damage, left, capsys):
    assert resumed_after(folder, damage) == ["step,loss", *(f"{step},{step}.0" for step in range(left)), "4,9.0"]
    words = f"metrics.csv has only {left} of the 4 rows that the checkpoint counts; the rest is lost"
    assert capsys.readouterr().err == f"note: {folder}/{words}\n"


def test_rows_that_are_all_there_are_not_told(folder, capsys):
    assert len(resumed_after(folder, lambda path: None)) == 6
    assert capsys.readouterr().err == ""


def test_a_run_that_goes_on_elsewhere_from_a_checkpoint_misses_no_rows(folder, capsys):
    begun = logger(folder, checkpoint="other/last.ckpt")
    begun.load_state_dict({"rows": 4})
    begun.log_metrics({"loss": 9.0}, step=4)
    assert (lines(folder), capsys.readouterr().err) == (["step,loss", "4,9.0"], "")


@pytest.fixture
def full_disk(folder):
    """A context in which the file cannot grow; the training continues then."""
    set_on_save_error("continue")
    yield lambda: files_limited_to((folder / "metrics.csv").stat().st_size + 3 if folder.is_dir() else 0)
    set_on_save_error("stop")


def test_rows_for_which_the_disk_is_too_full_are_written_later_and_told_once(folder, full_disk, capsys):
    csv = logger(folder)
    csv.log_metrics({"loss": 0.5}, step=0)
    with full_disk():
        csv.log_metrics({"loss": 0.25}, step=1)
        csv.log_metrics({"loss": 0.125, "accuracy": 1.0}, step=2)
        assert csv.state_dict() == {"rows": 1}
        assert lines(folder) == ["step,loss", "0,0.5"]
    csv.log_metrics({"loss": 0.0625}, step=3)
    assert lines(folder) == ["step,accuracy,loss", "0,,0.5", "1,,0.25", "2,1.0,0.125", "3,,0.0625"]
    words = f"cannot save {folder}/metrics.csv: File too large; the training continues"
    assert capsys.readouterr().err == f"warning: {words}\n"
    assert csv.state_dict() == {"rows": 4}


def test_a_disk_that_is_full_from_the_start_is_no_end_either(folder, full_disk):
    csv = logger(folder)
    with full_disk():
        csv.log_metrics({"loss": 0.5}, step=0)
    csv.log_metrics({"loss": 0.25}, step=1)
    assert lines(folder) == ["step,loss", "0,0.5", "1,0.25"]


def test_a_full_disk_ends_the_run_in_one_line_and_leaves_whole_rows(folder):
    csv = logger(folder)
    csv.log_metrics({"loss": 0.5}, step=0)
    with files_limited_to(18), pytest.raises(SaveError, match=r"cannot save .*/metrics.csv: File too large"):
        csv.log_metrics({"loss": 0.25}, step=1)
    assert lines(folder) == ["step,loss", "0,0.5"]
