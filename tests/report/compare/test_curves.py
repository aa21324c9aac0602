"""The curves of a comparison of invented runs."""

import numpy as np
import pandas as pd
import pytest

from src.report.compare.curves import NUM_STYLED, seed_band, setting_curves
from tests.support.made_runs import compared, made, over


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


def test_a_single_point_of_a_curve_can_be_seen(tmp_path):
    for seed in (0, 1):
        folder = made(tmp_path / str(seed), seed=seed)
        (folder / "metrics.csv").write_text("step,val/loss\n9,2.0\n")
    [plot] = setting_curves(compared(tmp_path)).parts
    assert [line.get_marker() for line in plot.source.axes[0].lines] == ["o"]
