import re

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from src.datamodules.loader import BatchLoader
from src.models.images.tasks import Multilabel
from src.report.images.labels import label_scores
from src.report.images.outcomes import answers_of
from src.report.parts import Plot, Table
from tests.report.images.test_outcomes import Answers
from tests.report.images.test_view import parts_of, view
from tests.support.tiny import TinyImages, built, labelled_images, trainer

NAMES = ["cat", "dog", "<owl>"]


class Echo(pl.LightningModule):
    """A model whose logits are its images' pixels."""

    def __init__(self, thresholds=(0.5, 0.5, 0.5)):
        super().__init__()
        spec = {"class_names": NAMES, "num_classes": 3, "task": "multilabel", "thresholds": list(thresholds)}
        self.hparams["spec"] = spec
        self.task = Multilabel(spec, label_smoothing=0.0, regression_loss="mse")

    def forward(self, images):
        return images.flatten(1)


class Labelled(Answers):
    """Images of 3 x 1 pixels, brighter where a label is predicted."""

    def __init__(self, labels, predicted):
        pl.LightningDataModule.__init__(self)
        self.labels = torch.tensor(labels).float()
        self.images = (4 * torch.tensor(predicted).float() - 2).view(-1, 1, 3, 1)


LABELS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
PREDICTED = [[1, 0, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0]]


@pytest.fixture(scope="module")
def sections():
    return view().sections(Echo(), Labelled(LABELS, PREDICTED))


def test_each_label_has_its_scores(sections):
    table = parts_of(sections, Table)["Each label"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert [row[0] for row in table.rows] == ["dog", "cat"]  # the weakest first
    assert rows["cat"] == pytest.approx((2 / 3, 0.8, 2 / 3, 1.0, 0.5, 2))
    assert rows["dog"][2:4] == ("none", 0.0)
    assert table.note.endswith("No image here has <owl>.")


def test_scores_of_a_trained_model_are_those_of_its_test():
    facts = {"task": "multilabel", "thresholds": [0.3, 0.4, 0.35]}
    model, data = built(**facts), TinyImages(**facts)
    images, _ = labelled_images(9, seed=2)
    labels = (torch.arange(27).view(9, 3) % 4 < 2).float()
    data.test_dataloader = lambda: BatchLoader(images, labels, batch_size=5)
    (scores,) = trainer().test(model, data, verbose=False)
    found = answers_of(model.eval(), data, 100)
    present, predicted = found.labels > 0, found.answers >= np.array(facts["thresholds"], np.float32)
    for score in label_scores(found, present, predicted, facts["thresholds"], ["a", "b", "c"]):
        assert score.average_precision == pytest.approx(scores[f"test/average_precision_{score.name}"])
        assert score.f1 == pytest.approx(scores[f"test/f1_{score.name}"])
    assert found.losses.mean() == pytest.approx(scores["test/loss"])


def test_each_label_is_counted_four_ways(sections):
    rows = parts_of(sections, Table)["Right and wrong of each label"].rows
    assert {row[0]: row[1:] for row in rows} == {"cat": (2, 0, 1, 1), "dog": (0, 2, 0, 2), "<owl>": (0, 0, 2, 2)}
    assert "1 of 4 images have exactly their labels" in parts_of(sections, Table)["Right and wrong of each label"].note


def test_a_label_missed_where_another_is_added_is_a_pair(sections):
    (row,) = parts_of(sections, Table)["Most confused"].rows
    assert row[1:] == ("dog", "<owl>", 2)
    assert 'alt="dog missed and &lt;owl&gt; added"' in row[0]


def test_no_more_pairs_are_shown_than_asked_for():
    data = Labelled([[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 0]])
    assert len(parts_of(view(num_pairs=2).sections(Echo(), data), Table)["Most confused"].rows) == 2
    right = view().sections(Echo(), Labelled(LABELS, LABELS))
    assert "Most confused" not in parts_of(right, Table)


def test_the_hardest_image_comes_first_with_the_label_that_is_furthest_off():
    data = Labelled(LABELS, PREDICTED)
    data.images[3, 0, 2] = 6.0  # an owl, surer than all else
    shown = parts_of(view(num_images=2).sections(Echo(), data), Plot)
    first, second = re.findall(r"(?:: |; )([^;]+)", shown["Highest losses"].alt)
    assert first == "none, predicted cat, <owl>, <owl> 99.8%"
    assert second.startswith("cat, dog, predicted cat, <owl>, ")
    assert shown["Lowest losses"].alt == "1 images: cat, predicted cat, cat 88.1%"


def test_the_thresholds_decide_what_is_predicted():
    data = Labelled(LABELS, PREDICTED)
    data.images[0, 0, 0] = 0.0  # a probability of 0.5 reaches the threshold
    sections = view().sections(Echo((0.5, 0.1, 0.9)), data)
    rows = {row[0]: row[1:] for row in parts_of(sections, Table)["Right and wrong of each label"].rows}
    assert rows["cat"] == (2, 0, 1, 1)
    assert rows["dog"] == (2, 0, 2, 0)
    assert rows["<owl>"] == (0, 0, 0, 4)


def test_reliability_is_over_pairs_of_image_and_label(sections):
    plot = parts_of(sections, Plot)["Reliability"]
    assert "33.3% are present" in plot.note  # 4 of 12
    assert "The net is too confident" in plot.note


def test_answers_that_are_not_numbers_are_counted():
    data = Labelled(LABELS, PREDICTED)
    data.images[1, 0, 2] = torch.nan
    (section,) = view().sections(Echo(), data)
    assert section.parts[0].text == "The net's answer is not a number (NaN) for 1 of 4 images."


def test_every_plot_has_a_heat_map_where_the_net_has_one(sections):
    assert "There are no heat maps" in parts_of(sections, Plot)["Highest losses"].note
    model, data = built(task="multilabel").eval(), TinyImages(task="multilabel")
    images, _ = labelled_images(6)
    data.test_dataloader = lambda: BatchLoader(images, torch.eye(3).repeat(2, 1), batch_size=4)
    nn.init.normal_(model.net.head.weight)
    assert "Right: what speaks for that label" in parts_of(view().sections(model, data), Plot)["Highest losses"].note
