import re

import pytest
import pytorch_lightning as pl
import torch

from src.models.images.tasks import Regression
from src.report.parts import Plot, Table
from tests.report.images.test_outcomes import Answers
from tests.report.images.test_view import parts_of, view


class Echo(pl.LightningModule):
    """A model whose scaled values are its images' pixels."""

    def __init__(self):
        super().__init__()
        spec = {"class_names": ["age", "size"], "num_classes": 2, "task": "regression"}
        self.hparams["spec"] = spec | {"target_mean": [10.0, 0.0], "target_std": [2.0, 1.0]}
        self.task = Regression(self.hparams["spec"], label_smoothing=0.0, regression_loss="mse")

    def forward(self, images):
        return images.flatten(1)


class Measured(Answers):
    """Images of 2 x 1 pixels, which are the predictions."""

    def __init__(self, labels, predicted):
        pl.LightningDataModule.__init__(self)
        self.labels = torch.tensor(labels)
        self.images = ((torch.tensor(predicted) - torch.tensor([10.0, 0.0])) / torch.tensor([2.0, 1.0])).view(
            -1, 1, 2, 1
        )


DATA = Measured([[10.0, 1.0], [12.0, 2.0], [14.0, 3.0]], [[11.0, 1.7], [12.0, 2.5], [17.0, 3.0]])


@pytest.fixture(scope="module")
def sections():
    return view().sections(Echo(), DATA)


def test_each_target_has_its_scores_in_its_units(sections):
    age, size = parts_of(sections, Table)["Each target"].rows
    assert age == ("age", *map(pytest.approx, (1 - 10 / 8, (10 / 3) ** 0.5, 4 / 3, 4 / 3, (8 / 3) ** 0.5)))
    assert size[:2] == ("size", pytest.approx(1 - 0.74 / 2))


def test_each_target_has_its_plots(sections):
    titles = [title for title in parts_of(sections, Plot) if ":" in title]
    assert titles == [f"{name}: {what}" for name in ("age", "size") for what in ("predicted and true", "residuals")]


def test_the_image_that_is_furthest_off_comes_first_with_that_target(sections):
    captions = re.findall(r"(?:: |; )([^;]+)", parts_of(sections, Plot)["Highest losses"].alt)
    assert captions == ["age 14, predicted 17", "size 1, predicted 1.7", "size 2, predicted 2.5"]  # in deviations
    assert parts_of(sections, Plot)["Lowest losses"].alt.startswith("2 images: size 2, predicted 2.5; size 1")


def test_a_section_says_how_many_images_it_looked_at(sections):
    assert {section.note for section in sections} == {"All 3 images of the test split."}
    assert {section.note for section in view(max_rows=2).sections(Echo(), DATA)} == {
        "2 of 3 images of the test split, evenly spread."
    }


def test_answers_that_are_not_numbers_are_counted():
    data = Measured(DATA.labels.tolist(), [[11.0, 1.0], [torch.inf - torch.inf, 2.0], [17.0, 3.0]])
    (section,) = view().sections(Echo(), data)
    assert section.parts[0].text == "The net's answer is not a number (NaN) for 1 of 3 images."
