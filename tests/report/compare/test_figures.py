"""The plots of a comparison of invented runs."""

import numpy as np
import pandas as pd
import pytest

from src.report.compare.curves import NUM_STYLED, seed_band, setting_curves
from src.report.compare.figures import Scale, key_plots, parallel_coordinates
from src.report.compare.run import runs_in
from src.report.figures import ACCENT
from tests.support.made_runs import compared, made, over


def test_numbers_that_span_a_decade_lie_by_their_logarithm():
    assert Scale([0.001, 0.1, 0.01]).position(0.01) == pytest.approx(0.5)
    assert Scale([2, 4, 10]).position(4) == pytest.approx(0.25)


def test_what_is_no_number_is_evenly_spaced_the_short_before_the_long():
    values = ["[128, 256]", None, "[32, 64]"]
    assert [Scale(values).position(value) for value in values] == [1, 0, 0.5]


def test_ticks_keep_their_distance_from_one_another():
    assert Scale([0, 1, 50, 99, 100]).ticks(0.1) == [0, 50, 100]
    assert Scale([0, 1, 50, 99, 100]).ticks(0.1, [99]) == [0, 50, 99]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_line_ends_at_the_top_thick_blue_and_dotted(tmp_path, mode):
    found = over(tmp_path, {0.1: [0.5], 0.2: [0.4], 0.3: [0.7]}, mode=mode)
    [axes] = parallel_coordinates(found, {"model.lr": "lr"}).axes
    lines = {line.get_ydata()[1]: line for line in axes.lines[:3]}
    assert sorted(lines, key=lambda height: lines[height].get_linewidth()) == sorted(lines)
    assert (lines[1].get_color(), lines[1].get_marker()) == (ACCENT, "o")
    best = {"max": 1.0, "min": 0.5}[mode]  # 0.3 is the highest of three, 0.2 the middle
    assert lines[1].get_ydata()[0] == pytest.approx(best)


def test_each_key_has_a_plot_as_long_as_they_are_few(tmp_path):
    for number in range(3):
        made(tmp_path / str(number), number / 10, lr=number, trainer={"max_epochs": -(number % 2)})
    section = key_plots(compared(tmp_path))
    assert [part.title for part in section.parts] == ["All keys at once", "Score by lr", "Score by max_epochs"]


def test_nothing_differs_in_runs_of_one_setting(tmp_path):
    assert key_plots(over(tmp_path, {0.1: [0.5, 0.6]})) is None


def test_curves_of_seeds_become_their_mean_and_range_as_far_as_all_go():
    one = pd.Series([1.0, 3.0], [0, 10])
    other = pd.Series([3.0, 3.0, 5.0, 9.0], [0, 4, 10, 15])
    band = seed_band([one, other], is_noisy=False)
    assert band.index.tolist() == [0, 4, 10]
    assert band.to_numpy() == pytest.approx(np.array([[2, 1, 3], [2.4, 1.8, 3], [4, 3, 5]]))


def test_the_loss_and_the_metric_are_drawn_over_the_steps(tmp_path):
    section = setting_curves(over(tmp_path, {0.1: [0.5, 0.6], 0.2: [0.1]}))
    assert [part.title for part in section.parts] == ["train/loss", "val/loss", "val/accuracy"]
    [line, _] = section.parts[2].source.axes[0].lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([9, 19], [0.5, 0.75])


def test_settings_of_low_rank_are_thin_and_grey(tmp_path):
    section = setting_curves(over(tmp_path, {lr: [1 / lr] for lr in range(1, NUM_STYLED + 3)}))
    looks = [(line.get_color(), line.get_linewidth()) for line in section.parts[0].source.axes[0].lines]
    assert looks[NUM_STYLED:] == [("#999999", 0.7)] * 2
    assert "#999999" not in {colour for colour, _ in looks[:NUM_STYLED]}
    assert section.parts[0].note == "The thin grey lines are the 2 settings of lower rank."


def test_a_resumed_run_counts_by_what_it_logged_last(tmp_path):
    folder = made(tmp_path / "run")
    (folder / "metrics.csv").write_text("step,train/loss\n9,2.0\n19,inf\n9,3.0\n")
    [run] = runs_in([str(folder)])
    assert run.curves(["train/loss", "val/loss"])["train/loss"].to_dict() == {9: 3.0}


def test_a_run_that_has_logged_nothing_has_no_curves(tmp_path):
    folder = made(tmp_path / "run")
    (folder / "metrics.csv").write_text("")
    assert runs_in([str(folder)])[0].curves(["train/loss"]) == {}


def test_a_single_point_of_a_curve_can_be_seen(tmp_path):
    for seed in (0, 1):
        folder = made(tmp_path / str(seed), seed=seed)
        (folder / "metrics.csv").write_text("step,val/loss\n9,2.0\n")
    [plot] = setting_curves(compared(tmp_path)).parts
    assert [line.get_marker() for line in plot.source.axes[0].lines] == ["o"]
