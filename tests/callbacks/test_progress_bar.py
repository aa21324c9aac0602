import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from src.callbacks.progress_bar import ProgressBar, Speed, table_lines

SCORES = {"train/loss": 0.123456, "val/accuracy": 0.98, "val/loss": 12.5}


def bar_in_a_terminal(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
        return ProgressBar()


def test_no_bar_is_drawn_where_no_terminal_is(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert ProgressBar().is_disabled


def test_a_terminal_gets_bars(monkeypatch):
    assert bar_in_a_terminal(monkeypatch).is_enabled


def test_the_speed_counts_the_rows_of_all_ranks():
    trainer = SimpleNamespace(datamodule=SimpleNamespace(batch_size=50), world_size=4)
    task = SimpleNamespace(finished_speed=None, speed=12.0)
    assert Speed(trainer).render(task).plain == "2,400 samples/s"


def test_the_speed_counts_the_tokens_of_a_text():
    trainer = SimpleNamespace(datamodule=SimpleNamespace(batch_size=50, bptt=7), world_size=4)
    task = SimpleNamespace(finished_speed=None, speed=12.0)
    assert Speed(trainer).render(task).plain == "16,800 tokens/s"


def test_no_speed_is_shown_before_there_is_one():
    trainer = SimpleNamespace(datamodule=SimpleNamespace(batch_size=50), world_size=1)
    assert Speed(trainer).render(SimpleNamespace(finished_speed=None, speed=None)).plain == ""


@pytest.mark.parametrize(("max_epochs", "shown"), [(10, "Epoch 3/9"), (-1, "Epoch 3"), (None, "Epoch 3")])
def test_a_training_without_a_bound_of_epochs_shows_none(monkeypatch, max_epochs, shown):
    bar = bar_in_a_terminal(monkeypatch)
    bar._trainer = SimpleNamespace(max_epochs=max_epochs)
    assert bar._get_train_description(3) == shown


def test_a_bar_with_everything_fits_80_columns(monkeypatch):
    trainer = SimpleNamespace(datamodule=SimpleNamespace(batch_size=1024), world_size=8)
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(*bar_in_a_terminal(monkeypatch).configure_columns(trainer), console=console)
    progress.add_task("Epoch 998/999", total=99999, completed=12345)
    progress.tasks[0].finished_speed = 12.0
    with console.capture() as capture:
        console.print(progress)
    (line,) = capture.get().splitlines()
    assert line.startswith("Epoch 998/999 ")
    assert "12345/99999" in line
    assert line.endswith("98,304 samples/s")  # 12 x 1024 x 8


def test_an_epoch_is_a_line_below_a_header():
    header, line = table_lines(3, SCORES, seconds=65.2, width=80)
    assert header == "epoch  train/loss  val/accuracy   val/loss    time"
    assert line == "    3      0.1235          0.98       12.5    1:05"


def test_scores_that_do_not_fit_are_left_out_and_the_time_stays():
    header, line = table_lines(3, SCORES, seconds=5, width=40)
    assert header == "epoch  train/loss  val/accuracy    time"
    assert len(line) == len(header) <= 40
