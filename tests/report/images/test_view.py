import re

import pytest
import pytorch_lightning as pl
import torch
from markupsafe import Markup

from src.datamodules.loader import BatchLoader
from src.models.images.mlp import MLP
from src.report.calibration import reliability_of
from src.report.images.outcomes import outcomes_of, pictures_at
from src.report.images.view import ImageView
from src.report.page import render
from src.report.parts import Picture, Prose, Table
from src.training.checkpoint import load_model
from tests.support.programs import composed, metrics_of
from tests.support.tiny import TinyPictures, built, classifier


@pytest.fixture(scope="module")
def digits(digits_run):
    """The trained digits net with its data, and the scores of its test."""
    from hydra.utils import instantiate

    datamodule = instantiate(composed().datamodule, _convert_="all")
    datamodule.setup("test")
    return load_model(digits_run / "checkpoints" / "best.ckpt"), datamodule, metrics_of(digits_run)


@pytest.fixture(scope="module")
def sections(digits):
    model, datamodule, _ = digits
    return ImageView(max_rows=1000, num_pictures=5, num_pairs=4).sections(model, datamodule)


def parts_of(sections, kind):
    return {part.title: part for section in sections for part in section.parts if isinstance(part, kind)}


def test_a_section_says_how_many_pictures_it_looked_at(sections):
    assert {section.note for section in sections} == {"All 359 pictures of the test split."}


def test_every_picture_has_a_title_an_alternative_and_a_width_that_fits(sections):
    pictures = parts_of(sections, Picture)
    assert list(pictures) == ["Precision and recall", "Confusion matrix", "Highest losses", "Seen best", "Reliability"]
    assert all(picture.alt and picture.source.get_figwidth() <= 10 for picture in pictures.values())


def test_scores_are_those_of_the_run(digits):
    model, datamodule, metrics = digits
    outcomes = outcomes_of(model, datamodule, 1000)
    assert outcomes.right.mean() == pytest.approx(metrics["test/accuracy"], abs=1e-6)
    assert outcomes.losses.mean() == pytest.approx(metrics["test/loss"], abs=1e-5)
    error = reliability_of(outcomes.confidence, outcomes.right).error
    assert error == pytest.approx(metrics["test/calibration_error"], abs=1e-6)


def test_the_page_names_the_run_s_calibration_error(digits, sections):
    assert f"is {digits[2]['test/calibration_error']:.4f}." in parts_of(sections, Picture)["Reliability"].note


def test_the_highest_loss_comes_first(sections):
    losses = [float(loss) for loss in re.findall(r"loss ([\d.e-]+)", parts_of(sections, Picture)["Highest losses"].alt)]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


def test_what_is_seen_best_is_right_and_of_different_classes(sections):
    pairs = re.findall(r"(\d), seen as (\d)", parts_of(sections, Picture)["Seen best"].alt)
    assert len(pairs) == len(set(pairs)) == 3  # half of num_pictures
    assert all(true == said for true, said in pairs)


def test_two_calls_give_one_page(digits, sections):
    model, datamodule, _ = digits
    again = ImageView(max_rows=1000, num_pictures=5, num_pairs=4).sections(model, datamodule)
    assert render("x", Markup(""), sections) == render("x", Markup(""), again)


# ---- answers that are known ----


class Echo(pl.LightningModule):
    """A model whose logits are its pictures' pixels."""

    def __init__(self):
        super().__init__()
        self.hparams["spec"] = {"class_names": ["cat", "dog", "<owl>"]}

    def forward(self, images):
        return images.flatten(1)


class Answers(pl.LightningDataModule):
    """Pictures of 3 x 1 pixels; `certain` are sure that they are of the given classes."""

    def __init__(self, labels, said):
        super().__init__()
        self.labels = torch.tensor(labels)
        self.images = 5 * torch.eye(3)[said].view(-1, 1, 3, 1) + torch.arange(len(said)).view(-1, 1, 1, 1)

    def test_dataloader(self):
        return BatchLoader(self.images, self.labels, batch_size=2)


def view(**choices):
    return ImageView(**{"max_rows": 100, "num_pictures": 4, "num_pairs": 3, **choices})


def test_a_confused_pair_has_its_number_its_share_and_an_example():
    sections = view().sections(Echo(), Answers([0, 0, 0, 1, 2], [0, 1, 2, 1, 0]))
    rows = parts_of(sections, Table)["Most confused"].rows
    assert [row[1:] for row in rows] == [
        ("cat", "dog", 1, "33.3%"),
        ("cat", "<owl>", 1, "33.3%"),
        ("<owl>", "cat", 1, "100.0%"),
    ]
    assert 'alt="&lt;owl&gt; that was taken for cat"' in rows[2][0]


def test_no_more_pairs_are_shown_than_asked_for():
    sections = view(num_pairs=1).sections(Echo(), Answers([0, 0, 1], [1, 1, 2]))
    assert [row[1:4] for row in parts_of(sections, Table)["Most confused"].rows] == [("cat", "dog", 2)]


def test_without_a_mistake_there_is_no_table_of_them():
    sections = view().sections(Echo(), Answers([0, 1, 2], [0, 1, 2]))
    assert parts_of(sections, Prose)["Most confused"].text == "No picture was taken for another class."


def test_without_a_right_answer_none_is_shown():
    assert "Seen best" not in parts_of(view().sections(Echo(), Answers([0, 1], [1, 2])), Picture)


def test_a_class_that_is_never_said_has_no_precision():
    sections = view().sections(Echo(), Answers([0, 1, 1], [0, 0, 1]))
    scores = parts_of(sections, Table)["Each class"]
    assert "1 of 3 classes have no pictures here" in scores.note
    sections = view().sections(Echo(), Answers([0, 1, 1], [0, 0, 0]))
    assert parts_of(sections, Table)["Each class"].rows[0][:2] == ("dog", "none")


def test_of_a_large_split_every_third_picture_is_looked_at():
    data = Answers([0, 1, 2, 0, 1, 2, 2], [0, 1, 2, 1, 1, 2, 0])
    outcomes = outcomes_of(Echo(), data, 3)
    assert outcomes.rows.tolist() == [0, 3, 6]
    assert (outcomes.labels.tolist(), outcomes.predicted.tolist()) == ([0, 0, 2], [0, 1, 0])
    notes = {section.note for section in view(max_rows=3).sections(Echo(), data)}
    assert notes == {"3 of 7 pictures of the test split, evenly spread."}


def test_pictures_are_found_by_their_place_in_the_split():
    data = Answers([0, 1, 2, 0, 1], [0, 1, 2, 1, 1])
    found = pictures_at(data, [4, 1])
    assert sorted(found) == [1, 4]
    assert all(torch.equal(picture, data.images[row]) for row, picture in found.items())


def test_loss_and_confidence_are_those_of_the_softmax():
    outcomes = outcomes_of(Echo(), Answers([0, 1], [0, 0]), 9)
    logits = torch.tensor([5.0, 0, 0])
    assert outcomes.confidence == pytest.approx([logits.softmax(0)[0].item()] * 2)
    assert outcomes.losses == pytest.approx((-logits.log_softmax(0)[:2]).tolist(), abs=1e-5)


def test_answers_that_are_no_numbers_are_told():
    data = Answers([0, 1], [0, 1])
    data.images[1] = float("nan")
    (section,) = view().sections(Echo(), data)
    assert section.parts[0].text == "The net's answer to 1 of 2 pictures is no number (NaN)."


def test_a_net_without_maps_is_told():
    def net(*facts, **sizes):
        return MLP(*facts, **sizes, widths=[3], relu=True, dropout=0.0)

    def small(in_chans, num_classes, image_size):
        return net(in_chans, num_classes, image_size)

    sections = view().sections(built(classifier(net=small)).eval(), TinyPictures())
    assert "there are no heat maps" in parts_of(sections, Picture)["Highest losses"].note


@pytest.mark.parametrize("choice", ["max_rows", "num_pictures", "num_pairs"])
def test_a_view_of_nothing_is_refused(choice):
    with pytest.raises(ValueError, match=f"one of each at least, got .*{choice}=0"):
        view(**{choice: 0})
