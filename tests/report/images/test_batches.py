import pytorch_lightning as pl
import torch

from src.report.images.batches import NUM_IMAGES, sections


class Pairs(pl.LightningDataModule):
    """Batches of 20 grey images, black where the label is 0; in training they are white."""

    spec = {"class_names": ["black", "white"]}

    def train_dataloader(self):
        labels = torch.arange(20) % 2
        return [(labels.view(20, 1, 1, 1).mul(255).byte().expand(20, 1, 4, 6), labels)]

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return (batch[0] | 255 if self.trainer is not None else batch[0]), batch[1]


def colours(section):
    """The values of the drawn images."""
    return [image.get_array().max() for image in section.parts[0].source.axes[0].images]


def test_images_stand_with_their_labels_as_training_and_as_validation_see_them():
    data = Pairs()
    data.trainer = object()
    training, validation = sections(data, [data.on_after_batch_transfer(data.train_dataloader()[0], 0)])
    assert colours(training) == [255] * NUM_IMAGES
    assert colours(validation) == [0, 255] * (NUM_IMAGES // 2)
    captions = [text.get_text() for text in validation.parts[0].source.axes[0].texts]
    assert captions == ["black", "white"] * (NUM_IMAGES // 2)
    assert "4 x 6 pixels" in training.note
    assert data.trainer is not None
