import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from src.datamodules.loader import BatchLoader
from src.report.images.outcomes import Confusion, Outcomes, confusions_of, images_at, outcomes_of


class Echo(pl.LightningModule):
    """A model whose logits are its images' pixels."""

    def __init__(self):
        super().__init__()
        self.hparams["spec"] = {"class_names": ["cat", "dog", "<owl>"]}

    def forward(self, images):
        return images.flatten(1)


class Answers(pl.LightningDataModule):
    """Images of 3 x 1 pixels; in each, the pixel of the class to predict is brighter by 5."""

    def __init__(self, labels, predicted):
        super().__init__()
        self.labels = torch.tensor(labels)
        self.images = 5 * torch.eye(3)[predicted].view(-1, 1, 3, 1) + torch.arange(len(predicted)).view(-1, 1, 1, 1)

    def test_dataloader(self):
        return BatchLoader(self.images, self.labels, batch_size=2)


def test_of_a_large_split_every_third_image_is_looked_at():
    outcomes = outcomes_of(Echo(), Answers([0, 1, 2, 0, 1, 2, 2], [0, 1, 2, 1, 1, 2, 0]), 3)
    assert outcomes.rows.tolist() == [0, 3, 6]
    assert (outcomes.labels.tolist(), outcomes.predicted.tolist()) == ([0, 0, 2], [0, 1, 0])
    assert outcomes.is_correct.tolist() == [True, False, False]
    assert outcomes.total == 7


def test_loss_and_confidence_are_of_the_softmax():
    outcomes = outcomes_of(Echo(), Answers([0, 1], [0, 0]), 9)
    logits = torch.tensor([5.0, 0, 0])
    assert outcomes.confidence == pytest.approx([logits.softmax(0)[0].item()] * 2)
    assert outcomes.losses == pytest.approx((-logits.log_softmax(0)[:2]).tolist(), abs=1e-5)


def test_the_matrix_counts_a_true_class_in_its_row():
    outcomes = outcomes_of(Echo(), Answers([0, 1, 1, 1], [2, 0, 1, 0]), 9)
    assert outcomes.counts(3).tolist() == [[0, 0, 1], [2, 1, 0], [0, 0, 0]]


def test_images_are_found_by_their_place_in_the_split():
    data = Answers([0, 1, 2, 0, 1], [0, 1, 2, 1, 1])
    found = images_at(data, [4, 1])
    assert sorted(found) == [1, 4]
    assert all(torch.equal(image, data.images[row]) for row, image in found.items())


def test_the_most_frequent_confusion_comes_first_with_its_worst_mistake():
    outcomes = Outcomes(
        rows=np.arange(6),
        labels=np.array([0, 2, 1, 2, 2, 0]),
        predicted=np.array([0, 1, 1, 1, 1, 2]),
        confidence=np.full(6, 0.5),
        losses=np.array([9.0, 1.0, 8.0, 3.0, 2.0, 4.0]),
        total=6,
    )
    assert confusions_of(outcomes, 3) == [Confusion(2, 1, 3, example=3), Confusion(0, 2, 1, example=5)]
