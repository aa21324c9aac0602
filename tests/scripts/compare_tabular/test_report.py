"""Tables and figures of made-up results."""

import pytest

from scripts.compare_tabular.report import FEATURES, as_text, draw_scores, summary, summary_table


def results(*models):
    return [
        {"model": model, "features": features, "test/mape": 0.1 + seed / 100}
        for model in models
        for features in FEATURES
        for seed in (0, 1)
    ]


def test_mean_and_deviation_are_over_the_seeds_and_the_net_comes_last():
    cells = summary(results("net", "LightGBM"), "mape")
    assert list(cells) == ["LightGBM", "net"]
    assert cells["net"]["codes"] == pytest.approx((0.105, 0.005))


def test_the_table_fits_into_80_columns():
    lines = summary_table(summary(results("LightGBM", "net"), "mape"), "mape", num_seeds=2).split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["|", "test/mape", "|", "codes", "|", "native", "|", "targets", "|", "embeddings", "|"]
    assert "0.1050±0.0050" in lines[2]


def test_what_was_not_measured_is_a_dash():
    cells = summary([{"model": "net", "features": "codes", "test/mape": 0.5}], "mape")
    assert summary_table(cells, "mape", 1).split("\n")[2].split() == [
        "|",
        "net",
        "|",
        "0.5000",
        "|",
        "-",
        "|",
        "-",
        "|",
        "-",
        "|",
    ]


@pytest.mark.parametrize(
    ("mean", "text"), [(0.07071, "0.07071±0.01000"), (1.0, "1.000±0.010"), (216.04, "216.0±0.0"), (0.0, "0±0")]
)
def test_a_mean_has_four_digits(mean, text):
    assert as_text(mean, 0.01, num_seeds=2) == text


def test_one_seed_has_no_deviation():
    assert as_text(0.5, 0.0, num_seeds=1) == "0.5000"


@pytest.mark.parametrize(("score", "direction"), [("auroc", "more"), ("mape", "less")])
def test_the_figure_has_a_line_for_each_model_and_dots_for_the_seeds(score, direction):
    rows = [{**row, "test/auroc": row["test/mape"]} for row in results("KNN", "net")]
    axes = draw_scores(summary(rows, score), rows, score).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["KNN", "net"]
    assert axes.get_xlabel() == f"test/{score} ({direction} is better)"
    means, seeds = axes.lines[:2]
    assert means.get_xdata() == pytest.approx([0.105, 0.105])
    assert [len(means.get_ydata()), len(seeds.get_ydata())] == [2, 4]
    assert means.get_ydata() == pytest.approx([-0.24, 0.76])
