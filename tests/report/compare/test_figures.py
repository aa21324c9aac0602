"""The plots of a comparison of invented runs."""

from dataclasses import replace

import pytest

from src.report.compare.figures import Scale, key_plots, parallel_coordinates, score_against
from src.report.compare.settings import Setting
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


@pytest.mark.parametrize(("keys", "titles"), [("abcdef", 7), ("abcdefg", 1)])
def test_six_keys_at_most_are_drawn_together_and_each_alone(tmp_path, keys, titles):
    found = over(tmp_path, {0.1: [0.5], 0.2: [0.9]})
    settings = [Setting(dict.fromkeys(keys, rank), setting.runs) for rank, setting in enumerate(found.settings, 1)]
    section = key_plots(replace(found, settings=settings, keys={key: [] for key in keys}))
    assert len(section.parts) == titles
    assert section.parts[0].note.endswith(" There is no room for g.") == (keys == "abcdefg")
    assert bool(section.note) == (keys == "abcdef")


def test_the_star_is_the_best_setting_and_its_bar_the_spread(tmp_path):
    found = over(tmp_path, {0.1: [0.5, 0.7], 0.2: [0.9]})
    [axes] = score_against(found, "model.lr", "lr").axes
    assert [(line.get_marker(), line.get_ydata()[0]) for line in axes.lines] == [("*", 0.9), ("o", pytest.approx(0.6))]
    [bar] = axes.collections
    assert bar.get_segments()[0][:, 1] == pytest.approx([0.6 - 0.02**0.5, 0.6 + 0.02**0.5])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.2"]
