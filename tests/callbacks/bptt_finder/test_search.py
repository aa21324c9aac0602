import csv
import math

import pytest

from src.callbacks.bptt_finder.search import BPTTSearch, Limits, Rung

LADDER = [8, 16, 32, 64]


def rung(bptt, *, memory=100.0, loss=2.0, norm=1.0, speed=1000.0, epoch=800, failure=""):
    return Rung(bptt, epoch, memory, (2.0, loss), (0.5, norm), speed, bptt / speed, failure)


def search(*rungs, memory_mb=None, max_growth=10.0, min_speed=0.5, ladder=LADDER):
    return BPTTSearch(list(rungs), ladder, Limits(memory_mb, max_growth, min_speed), seconds=1.25)


def test_the_highest_that_breaks_no_limit_is_suggested():
    assert search(rung(8), rung(16), rung(32, norm=11.0)).suggestion == 16


@pytest.mark.parametrize(
    ("spoilt", "verdict"),
    [
        ({"memory": 201.0}, "above 200 MB"),
        ({"loss": math.nan}, "loss not finite"),
        ({"loss": math.inf}, "loss not finite"),
        ({"norm": math.inf}, "gradient not finite"),
        ({"norm": 10.1}, "gradient above x 10"),
        ({"speed": 499.0}, "below 0.5 of fastest"),
        ({"failure": "out of memory"}, "out of memory"),
        ({"epoch": 1}, "an epoch is one step"),
    ],
)
def test_each_limit_has_its_verdict(spoilt, verdict):
    found = search(rung(8), rung(16, **spoilt), memory_mb=200)
    assert found.verdicts == ["", verdict]
    assert found.suggestion == 8


@pytest.mark.parametrize("kept", [{"memory": 200.0}, {"norm": 10.0}, {"speed": 500.0}, {"norm": 0.0}])
def test_limits_may_be_reached(kept):
    assert search(rung(8), rung(16, **kept), memory_mb=200).verdicts == ["", ""]


def test_memory_without_a_budget_does_not_matter():
    assert search(rung(8), rung(16, memory=1e9)).suggestion == 16


def test_the_gradient_is_compared_with_the_shortest_so_that_slow_growth_adds_up():
    doubling = [rung(bptt, norm=norm) for bptt, norm in zip([*LADDER, 128], [1.0, 2.0, 4.0, 8.0, 16.0], strict=True)]
    assert [search(*doubling).growth(rung) for rung in doubling] == [1, 2, 4, 8, 16]
    assert search(*doubling).suggestion == 64


def test_a_length_that_breaks_a_limit_does_not_set_the_pace():
    assert search(rung(8, speed=400.0), rung(16, speed=1000.0, norm=99.0)).suggestion == 8


def test_that_none_is_usable_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"no usable bptt: 8, the shortest, fails \(above 50 MB\); start .*ladder"):
        _ = search(rung(8), memory_mb=50).suggestion


def test_memory_is_expected_to_grow_by_as_much_with_each_token():
    rungs = [rung(bptt, memory=100.0 + 3 * bptt) for bptt in (8, 16, 32)]
    assert search(*rungs).expected_mb(64) == 100 + 3 * 64


def test_two_lengths_are_too_few_to_expect_anything():
    assert math.isnan(search(rung(8), rung(16, memory=900.0)).expected_mb(32))


def test_a_suggestion_at_the_end_of_the_ladder_asks_for_a_longer_one():
    assert search(*map(rung, LADDER)).remarks == [
        "the longest bptt meets all limits: add longer ones to bptt_finder.ladder"
    ]
    assert search(rung(8), rung(16)).remarks == []


def test_few_steps_in_an_epoch_are_remarked():
    [remark] = search(rung(8), rung(16, epoch=99)).remarks
    assert remark.startswith("only 99 steps an epoch")


def test_the_table_has_a_line_for_each_length():
    found = search(rung(8, speed=9.0), rung(16, speed=1234.5, norm=2.5), rung(32, failure="out of memory"))
    lines = found.table().splitlines()
    assert lines[0] == "bptt finder: 3 of 4 lengths, 1.2 s"
    assert lines[3].split() == ["16", "800", "1,234", "0.013", "100", "x", "2.5", "<-", "suggested"]
    assert lines[4].endswith("  out of memory")
    assert max(map(len, lines)) <= 80


def test_the_table_of_a_search_without_a_suggestion_says_what_was_wrong():
    table = search(Rung(8, 800, 100.0, failure="out of memory")).table()
    assert table.splitlines()[-1].split() == ["8", "800", "out", "of", "memory"]


def test_the_file_holds_every_length(tmp_path):
    search(rung(8), rung(16, norm=30.0)).write(tmp_path / "new" / "bptt_finder.csv")
    with (tmp_path / "new" / "bptt_finder.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first["verdict"] == "ok"
    assert {name: second[name] for name in ("bptt", "gradient_norm", "gradient_growth", "verdict")} == {
        "bptt": "16",
        "gradient_norm": "30.0",
        "gradient_growth": "30.0",
        "verdict": "gradient above x 10",
    }


def test_the_figure_has_a_panel_for_each_condition():
    figure = search(rung(8), rung(16), rung(32, norm=20.0), memory_mb=200).plot()
    assert [axes.get_title() for axes in figure.axes] == [
        "tokens a second",
        "peak memory, MB",
        "gradient norm over that of the shortest",
    ]
    for axes, limit in zip(figure.axes, (500.0, 200.0, 10.0), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert lines["limit"].get_ydata()[0] == limit
        assert lines["suggested: 16"].get_xdata()[0] == 16
        assert lines["breaks a limit"].get_xdata() == [32]


def test_a_search_that_found_nothing_has_a_figure():
    assert len(search(Rung(8, math.nan, 100.0, failure="out of memory")).plot().axes) == 3
