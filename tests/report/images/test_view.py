import re

import pytest
import torch
from markupsafe import Markup

from src.models.images.mlp import MLP
from src.report.calibration import reliability_of
from src.report.images.outcomes import outcomes_of
from src.report.images.view import ImageView
from src.report.page import render
from src.report.parts import Plot, Prose, Table
from tests.report.images.test_outcomes import Answers, Echo
from tests.support.tiny import TinyImages, built, classifier, trainer


def view(**choices):
    return ImageView(**{"max_rows": 100, "num_images": 4, "num_pairs": 3, **choices})


@pytest.fixture(scope="module")
def tested():
    """A model that has learned a little, its data, and the scores of its test."""
    torch.manual_seed(0)
    model, datamodule, run = classifier(lr=0.5), TinyImages(), trainer(3)
    run.fit(model, datamodule)
    (scores,) = run.test(model, datamodule, verbose=False)
    return model.eval(), datamodule, scores


@pytest.fixture(scope="module")
def sections(tested):
    return view().sections(*tested[:2])


def parts_of(sections, kind):
    return {part.title: part for section in sections for part in section.parts if isinstance(part, kind)}


def test_a_section_says_how_many_images_it_looked_at(sections):
    assert {section.note for section in sections} == {"All 5 images of the test split."}
    some = view(max_rows=3).sections(Echo(), Answers([0, 1, 2, 0, 1, 2, 2], [0, 1, 2, 1, 1, 2, 0]))
    assert {section.note for section in some} == {"3 of 7 images of the test split, evenly spread."}


def test_every_plot_has_a_title_a_description_and_a_width_that_fits(sections):
    plots = parts_of(sections, Plot)
    assert list(plots) == ["Precision and recall", "Confusion matrix", "Highest losses", "Lowest losses", "Reliability"]
    assert all(plot.alt and plot.source.get_figwidth() <= 10 for plot in plots.values())


def test_scores_are_those_of_the_test(tested, sections):
    model, datamodule, scores = tested
    outcomes = outcomes_of(model, datamodule, 1000)
    assert outcomes.is_correct.mean() == pytest.approx(scores["test/accuracy"], abs=1e-6)
    assert outcomes.losses.mean() == pytest.approx(scores["test/loss"], abs=1e-5)
    error = reliability_of(outcomes.confidence, outcomes.is_correct).error
    assert error == pytest.approx(scores["test/calibration_error"], abs=1e-6)
    assert f"is {error:.4f}." in parts_of(sections, Plot)["Reliability"].note


def test_the_highest_loss_comes_first(sections):
    losses = [float(loss) for loss in re.findall(r"loss ([\d.e-]+)", parts_of(sections, Plot)["Highest losses"].alt)]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)


def test_the_lowest_losses_are_correct_and_of_different_classes():
    sections = view(num_images=3).sections(Echo(), Answers([0, 0, 1, 2, 2], [0, 0, 1, 2, 1]))
    pairs = re.findall(r"(\S+), predicted (\S+),", parts_of(sections, Plot)["Lowest losses"].alt)
    assert len(set(pairs)) == len(pairs) == 2  # half of num_images, rounded up
    assert all(true == predicted for true, predicted in pairs)


def test_two_calls_give_one_page(tested, sections):
    again = view().sections(*tested[:2])
    assert render("x", Markup(""), sections) == render("x", Markup(""), again)


def test_a_confused_pair_has_its_count_its_share_and_an_example():
    sections = view().sections(Echo(), Answers([0, 0, 0, 1, 2], [0, 1, 2, 1, 0]))
    rows = parts_of(sections, Table)["Most confused"].rows
    assert [row[1:] for row in rows] == [
        ("cat", "dog", 1, "33.3%"),
        ("cat", "<owl>", 1, "33.3%"),
        ("<owl>", "cat", 1, "100.0%"),
    ]
    assert 'alt="&lt;owl&gt; mistaken for cat"' in rows[2][0]


def test_no_more_pairs_are_shown_than_asked_for():
    sections = view(num_pairs=1).sections(Echo(), Answers([0, 0, 1], [1, 1, 2]))
    assert [row[1:4] for row in parts_of(sections, Table)["Most confused"].rows] == [("cat", "dog", 2)]


def test_without_a_mistake_there_is_no_table_of_them():
    sections = view().sections(Echo(), Answers([0, 1, 2], [0, 1, 2]))
    assert parts_of(sections, Prose)["Most confused"].text == "The net mistook no image for another class."


def test_without_a_correct_answer_none_is_shown():
    sections = view().sections(Echo(), Answers([0, 1], [1, 2]))
    assert "Lowest losses" not in parts_of(sections, Plot)
    assert parts_of(sections, Plot)["Highest losses"].note.count("Wrong: 2 of 2.") == 1


def test_a_class_that_is_never_predicted_has_no_precision():
    sections = view().sections(Echo(), Answers([0, 1, 1], [0, 0, 0]))
    scores = parts_of(sections, Table)["Each class"]
    assert scores.rows[0][:2] == ("dog", "none")
    assert "It leaves out 1 of 3 classes, which have no images here." in scores.note
    assert "only the weakest" not in scores.note


def test_the_advice_depends_on_the_confidence(sections):
    too_high = view().sections(Echo(), Answers([0, 1], [1, 2]))
    assert "label smoothing help" in parts_of(too_high, Plot)["Reliability"].note
    too_low = view().sections(Echo(), Answers([0, 1], [0, 1]))
    assert "longer training" in parts_of(too_low, Plot)["Reliability"].note


def test_an_answer_that_is_not_a_number_is_reported():
    data = Answers([0, 1], [0, 1])
    data.images[1] = float("nan")
    (section,) = view().sections(Echo(), data)
    assert section.parts[0].text == "The net's answer is not a number (NaN) for 1 of 2 images."


def test_a_net_without_maps_says_so():
    def net(in_chans, num_classes, image_size):
        return MLP(in_chans, num_classes, image_size, widths=[3], relu=True, dropout=0.0)

    sections = view().sections(built(classifier(net=net)).eval(), TinyImages())
    assert "There are no heat maps" in parts_of(sections, Plot)["Highest losses"].note


@pytest.mark.parametrize("choice", ["max_rows", "num_images", "num_pairs"])
def test_a_view_of_nothing_is_refused(choice):
    with pytest.raises(ValueError, match=f"must be at least 1, got .*{choice}=0"):
        view(**{choice: 0})
