import pytest

from scripts.benchmark_lr_finder.outcomes import Outcome
from scripts.benchmark_lr_finder.report import draw_outcomes, summary, tables

OUTCOMES = {
    "combined": {
        "a": Outcome(0.0, 2.0, 0, [0.1, 0.2]),
        "b": Outcome(0.25, 1.5, 1, [0.3, 0.2]),
        "c": Outcome(0.01, None, 2, [0.1]),
    },
    "none": {task: Outcome(1.0, None, 3, []) for task in "abc"},
}
GRIDS = {task: {0.1: 2.0, 0.3: 1.0, 1.0: 4.0} for task in "abc"}


def test_a_rule_is_summed_up_over_its_tasks():
    assert summary(OUTCOMES["combined"]) == {
        "median_regret": 0.01,
        "worst_regret": 0.25,
        "spread": 2.0,
        "median_spread": 1.75,
        "failed_searches": 3,
    }


def test_a_rule_without_rates_has_no_spread():
    found = summary(OUTCOMES["none"])
    assert (found["spread"], found["median_spread"], found["failed_searches"]) == (None, None, 9)


def test_there_is_a_row_for_each_rule_and_for_each_task():
    by_rule, by_task = ([line.split() for line in table.split("\n")] for table in tables(OUTCOMES, GRIDS))
    assert by_rule[2] == ["|", "combined", "|", "1.0%", "|", "25.0%", "|", "1.75", "|", "2", "|", "3", "|"]
    assert by_rule[3] == ["|", "none", "|", "100.0%", "|", "100.0%", "|", "-", "|", "-", "|", "9", "|"]
    assert by_task[3] == ["|", "b", "|", "0.3", "|", "25.0", "|", "100.0", "|"]
    assert len(by_task) == 2 + 3


def test_a_task_has_its_losses_above_the_suggestions():
    figure = draw_outcomes(OUTCOMES, GRIDS)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["a", "b", "c", "", "", ""]
    assert shown[0].lines[0].get_ydata().tolist() == [2.0, 1.0, 4.0]
    assert shown[0].lines[1].get_xdata() == [0.3, 0.3]  # the best
    assert shown[0].get_ylim() == pytest.approx((0.9, 3.0))
    assert shown[3].collections[0].get_offsets().tolist() == [[0.1, 0], [0.2, 0]]
    assert [label.get_text() for label in shown[3].get_yticklabels()] == ["combined", "none"]


def test_suggestions_beyond_the_limits_lie_at_the_edges():
    outcomes = {"far": {"a": Outcome(1.0, 1e9, 0, [1e-6, 1e3])}}
    figure = draw_outcomes(outcomes, {"a": GRIDS["a"]})
    assert figure.axes[1].collections[0].get_offsets()[:, 0].tolist() == pytest.approx([0.1 / 30, 3.0])
