import pytest
import torch

from src.report.images.captions import captions_of, label_text, labels_text, numbers_text

NAMES = ["cat", "dog", "a_long_class_name"]


@pytest.mark.parametrize(
    ("label", "caption"),
    [
        (torch.tensor(1), "dog"),
        (torch.tensor([0.3, 0.7, 0.0]), "dog 70%\ncat 30%"),
        (torch.tensor([0.0, 1.0, 0.0]), "dog"),
        (torch.tensor(2), "a_long_class_…"),
    ],
)
def test_a_label_becomes_a_caption(label, caption):
    assert label_text(label, NAMES) == caption


def test_several_labels_stand_below_one_another_with_their_shares_if_they_are_blended():
    names = ["a", "b", "a very long name", "d", "e"]
    assert labels_text(torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]), names) == "a\na very long n…"
    assert labels_text(torch.tensor([0.25, 0.0, 0.0, 1.0, 0.0]), names) == "a 25%\nd"
    assert labels_text(torch.ones(5), names) == "a\nb\na very long n…\n2 more"
    assert labels_text(torch.zeros(5), names) == "none"


def test_numbers_stand_with_their_names_if_there_are_several():
    assert numbers_text(torch.tensor([12.345678]), ["age"]) == "12.35"
    assert numbers_text(torch.tensor([0.5, -3.0]), ["age", "a very long name"]) == "age 0.5\na very lon… -3"


@pytest.mark.parametrize(
    ("task", "labels", "captions"),
    [
        ({}, torch.tensor([0, 1]), ["cat", "dog"]),
        ({"task": "multilabel"}, torch.tensor([[1.0, 1.0, 0.0]]), ["cat\ndog"]),
        ({"task": "regression"}, torch.tensor([[0.5, 2.0, 3.0]]), ["cat 0.5\ndog 2\na_long_clas… 3"]),
    ],
)
def test_the_task_says_how_labels_are_read(task, labels, captions):
    assert captions_of(labels, {"class_names": NAMES, **task}) == captions
