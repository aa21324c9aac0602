import csv

import numpy as np
import pytest

from src.callbacks.lr_finder.rules import RULES, Curve, UnreadableCurve
from src.callbacks.lr_finder.search import LRSearch

LADDER = np.geomspace(1e-7, 10, 100)


def curve(turn, rungs=100):
    """A loss of 2 to rung 30, then straight down to 1 at rung `turn`, then up to 9 at rung 101."""
    return Curve(LADDER[:rungs], np.interp(np.arange(rungs), [0, 30, turn, 101], [2.0, 2.0, 1.0, 9.0]))


def search(*turns, rule="combined", rungs=100):
    return LRSearch([curve(turn, rungs) for turn in turns], rule, LADDER, seconds=1.25)


def test_a_suggestion_has_three_digits_so_that_it_can_be_typed_again():
    for rate in search(70).suggestions.values():
        assert rate == float(f"{rate:.3g}")


def test_rounding_does_not_leave_the_ladder():
    ladder = np.geomspace(1.2345678, 9.0, 100)  # a tenth of any rate is below it
    assert LRSearch([Curve(ladder, curve(70).losses)], "minimum", ladder, 1.0).suggestion == 1.2345678


def test_repeats_suggest_the_median():
    of_each = [search(turn).suggestion for turn in (60, 65, 80)]
    assert search(80, 60, 65).suggestion == of_each[1]


def test_an_even_number_of_repeats_suggests_the_geometric_middle():
    low, high = (RULES["combined"](curve(turn)) for turn in (60, 80))
    assert search(60, 80).suggestion == pytest.approx(np.sqrt(low * high), rel=5e-3)


def test_the_spread_is_the_largest_over_the_smallest():
    low, high = (RULES["combined"](curve(turn)) for turn in (60, 80))
    assert search(60, 70, 80).spread["combined"] == pytest.approx(high / low)
    assert search(60).spread["combined"] == 1.0


def test_one_curve_that_cannot_be_read_fails_the_search():
    flat = Curve(LADDER, np.full(100, 2.0))
    with pytest.raises(UnreadableCurve, match="no fall"):
        LRSearch([curve(70), flat], "combined", LADDER, 1.0)


def test_the_table_opens_with_the_chosen_rule():
    lines = search(70, rule="valley", rungs=90).table().splitlines()
    assert lines[0] == "lr finder: 90 steps from 1e-07 up to 1.56 (diverged), 1.2 s"
    assert lines[1].split() == ["valley", f"{search(70).suggestions['valley']:.2e}", "<-", "suggested"]
    assert {line.split()[0] for line in lines[1:]} == set(RULES)
    assert max(map(len, lines)) <= 80


def test_the_table_shows_the_spread_of_repeats_and_what_is_doubtful():
    table = search(70, 100).table()
    assert f"x {search(70, 100).spread['combined']:.2f} over 2 repeats" in table
    assert "note: the loss still fell at the end of the ladder: raise lr_finder.max_lr (now 10)" in table


def test_the_file_holds_every_step_of_every_repeat(tmp_path):
    search(70, 80, rungs=60).write(tmp_path / "new" / "lr_finder.csv")
    with (tmp_path / "new" / "lr_finder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 60
    assert [float(row["lr"]) for row in rows[60:]] == LADDER[:60].tolist()
    assert [float(row["loss"]) for row in rows[:60]] == curve(70, 60).losses.tolist()
    assert (rows[61]["repeat"], rows[61]["step"]) == ("1", "1")


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_the_figure_marks_every_suggestion():
    found = search(70)
    lines = lines_of(found.plot())
    for name, rate in found.suggestions.items():
        (label,) = [label for label in lines if label.startswith(f"{name} ")]
        assert lines[label].get_xdata()[0] == rate
        assert ("(suggested)" in label) == (name == "combined")


def test_no_two_suggestions_look_alike():
    lines = [line for label, line in lines_of(search(70).plot()).items() if label.split()[0] in RULES]
    assert len({line.get_color() for line in lines}) == len({line.get_linestyle() for line in lines}) + 1 == 5


def test_what_diverged_is_shaded():
    shades = [patch for patch in search(70).plot().axes[0].patches if patch.get_label() == "diverged"]
    left, right = shades[0].get_x(), shades[0].get_x() + shades[0].get_width()
    assert LADDER[70] < left < LADDER[80]  # where the loss is above 2 again
    assert right == pytest.approx(10)


def test_a_loss_that_never_rises_has_no_shade():
    assert [patch for patch in search(100).plot().axes[0].patches if patch.get_label() == "diverged"] == []


def test_repeats_are_drawn_as_a_band():
    assert "lowest to highest of 2" in [c.get_label() for c in search(60, 80).plot().axes[0].collections]


def test_a_linear_ladder_has_a_linear_axis():
    ladder = np.linspace(1e-7, 10, 100)
    linear = LRSearch([Curve(ladder, curve(70).losses)], "combined", ladder, 1.0)
    assert linear.plot().axes[0].get_xscale() == "linear"
    assert search(70).plot().axes[0].get_xscale() == "log"
