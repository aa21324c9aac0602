import pytest
import pytorch_lightning as pl
import torch

from src.datamodules.images.base import ImageData
from src.datamodules.images.split import Images
from src.report.rows import rows_of, split_of
from tests.support.make_data import image_settings, make_labels, make_pictures
from tests.support.tiny import TinyPictures, trainer


class Pictures(pl.LightningDataModule):
    """Validates on 0, 1, 2."""

    def val_dataloader(self):
        return [torch.tensor([0]), torch.tensor([1, 2])]


@pytest.fixture
def images():
    """20 pictures to test on, of an ImageData on the second of two ranks, whose augmentation must not be asked."""

    class Set(ImageData):
        class_names = ["a", "b"]

        def read(self):
            labels = make_labels(20, 2)
            pictures = Images(torch.from_numpy(make_pictures(labels, 6, 5, 3)), torch.from_numpy(labels))
            return {"train": pictures, "test": pictures}

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
    pictures, _ = next(iter(rows_of(images)))
    assert pictures.shape[1:] == (3, 6, 5)
    assert images.trainer is not None


def test_they_are_of_the_validation_where_there_is_no_test():
    assert (split_of(Pictures()), split_of(TinyPictures())) == ("val", "test")
    assert torch.cat(list(rows_of(Pictures()))).tolist() == [0, 1, 2]
