import pytest
import pytorch_lightning as pl
import torch

from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit
from src.report.rows import rows_note, rows_of, split_of, spread_rows
from tests.support.make_data import image_settings, make_images, make_labels
from tests.support.tiny import TinyImages, trainer


class Numbers(pl.LightningDataModule):
    """Validates on 0, 1, 2."""

    def val_dataloader(self):
        return [torch.tensor([0]), torch.tensor([1, 2])]


@pytest.fixture
def images():
    """An ImageData with 20 images to test on, on the second of two ranks. Its augmentation must not be called."""

    class Set(ImageData):
        class_names = ["a", "b"]

        def read(self):
            labels = make_labels(20, 2)
            found = ImageSplit(torch.from_numpy(make_images(labels, 6, 5, 3)), torch.from_numpy(labels))
            return {"train": found, "test": found}

    def augmentation(*_):
        raise AssertionError("these rows are not trained on")

    datamodule = Set(**image_settings(augmentation=augmentation))
    datamodule.setup("test")
    datamodule.trainer = trainer()
    return datamodule


def test_they_are_the_whole_split_on_any_rank(images, monkeypatch):
    monkeypatch.setattr(type(images.trainer), "world_size", 2)
    monkeypatch.setattr(type(images.trainer), "global_rank", 1)
    assert sum(len(batch[0]) for batch in images.test_dataloader()) == 10
    assert torch.cat([labels for _, labels in rows_of(images)]).tolist() == [0, 1] * 10


def test_they_are_as_in_evaluation_while_a_training_goes_on(images):
    images.trainer.training = True
    batch, _ = next(iter(rows_of(images)))
    assert batch.shape[1:] == (3, 6, 5)
    assert images.trainer is not None


def test_they_are_of_the_validation_where_there_is_no_test():
    assert (split_of(Numbers()), split_of(TinyImages())) == ("val", "test")
    assert torch.cat(list(rows_of(Numbers()))).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("max_rows", "expected"), [(3, [0, 1, 2]), (2, [0, 2]), (1, [0])])
def test_of_many_rows_evenly_spread_ones_are_taken(max_rows, expected):
    class Pairs(Numbers):
        def val_dataloader(self):
            return [[torch.tensor([0]), torch.tensor([10])], [torch.tensor([1, 2]), torch.tensor([11, 12])]]

    batches, places = spread_rows(Pairs(), max_rows)
    rows, labels = (torch.cat(column).tolist() for column in zip(*batches, strict=True))
    assert (rows, labels) == (expected, [10 + row for row in expected])
    assert (list(places), places.stop) == (expected, 3)


def test_a_note_counts_the_rows_and_names_the_split():
    assert rows_note(Numbers(), 3, 3, "rows") == "All 3 rows of the validation split"
    assert rows_note(TinyImages(), 1000, 2000, "images") == "1,000 of 2,000 images of the test split, evenly spread"
    assert rows_note(TinyImages(), 1, 2, "tokens", how="at first").endswith("test split, at first")
