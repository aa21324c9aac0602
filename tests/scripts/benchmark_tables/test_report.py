import numpy as np
import pytest

from scripts.benchmark_tables.report import by_model, by_table, draw, mean_scores, ranks, shortfalls

# RMSE of ames, constant 100; AUROC of adult
SCORES = {"a": (50, 0.9), "b": (60, 0.8), "c": (75, 0.9)}
RESULTS = [
    {"table": table, "seed": seed, "model": model, "score": score + shift, "seconds": 2.0}
    for model, pair in SCORES.items()
    for table, score, shifts in (("ames", pair[0], (-1, 1)), ("adult", pair[1], (-0.01, 0.01)))
    for seed, shift in enumerate(shifts)
]
CONSTANTS = {"ames": 100.0, "adult": 0.5}


def test_scores_are_means_over_the_seeds_of_models_that_ran_on_all_tables():
    partial = {"table": "ames", "seed": 0, "model": "d", "score": 1.0, "seconds": 1.0}
    scores = mean_scores([*RESULTS, partial])
    assert sorted(scores.columns) == ["a", "b", "c"]
    assert scores.loc["ames"].to_dict() == {"a": 50, "b": 60, "c": 75}


def test_ranks_take_low_errors_and_high_areas_first():
    found = ranks(mean_scores(RESULTS))
    assert found.loc["ames"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert found.loc["adult"].to_dict() == {"a": 1.5, "b": 3, "c": 1.5}


def test_a_shortfall_is_a_share_of_the_way_from_the_best_to_a_constant():
    found = shortfalls(mean_scores(RESULTS), CONSTANTS)
    assert found.loc["ames"].to_dict() == pytest.approx({"a": 0, "b": 0.2, "c": 0.5})
    assert found.loc["adult"].to_dict() == pytest.approx({"a": 0, "b": 0.25, "c": 0})


def test_models_are_listed_by_their_mean_rank():
    lines = [line.split("|")[1:-1] for line in by_model(mean_scores(RESULTS), CONSTANTS, RESULTS).splitlines()]
    assert [[cell.strip() for cell in line] for line in lines[2:]] == [
        ["a", "1.25", "0.0%", "0.0%", "2.0"],
        ["c", "2.25", "25.0%", "50.0%", "2.0"],
        ["b", "2.50", "22.5%", "25.0%", "2.0"],
    ]
    assert "ames, rmse" in by_table(mean_scores(RESULTS))


def test_each_model_has_a_dot_on_the_line_of_each_table():
    (axes,) = draw(mean_scores(RESULTS), CONSTANTS).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ames", "adult"]
    dots = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert dots["b"] == pytest.approx([20, 25])


def test_what_is_no_better_than_a_constant_has_words():
    bad = [row | {"score": 1e6} if (row["table"], row["model"]) == ("ames", "c") else row for row in RESULTS]
    (axes,) = draw(mean_scores(bad), CONSTANTS).axes
    assert [text.get_text() for text in axes.texts] == ["c: no better than a constant "]
    assert max(np.nanmax(line.get_xdata()) for line in axes.lines) == pytest.approx(25)
