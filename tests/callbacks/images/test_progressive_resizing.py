import pytest
import pytorch_lightning as pl

from src.callbacks.images.progressive_resizing import ProgressiveResizing
from src.core.signatures import accepts, signature_of
from tests.support.tiny import AtBatch, TinyImages, classifier, save_after, trainer


def train_size():
    return AtBatch(lambda trainer, model: trainer.datamodule.train_size)


def test_each_epoch_has_the_size_of_the_last_pair_begun():
    sizes = train_size()
    trainer(5, ProgressiveResizing(sizes=[[0, 4], [1, 8], [3, None]]), sizes).fit(classifier(), TinyImages())
    assert sizes.values[::3] == [4, 8, 8, None, None]


def test_a_run_resumed_within_an_epoch_has_that_epochs_size(tmp_path):
    path = tmp_path / "middle.ckpt"

    def resizing():
        return ProgressiveResizing(sizes=[[0, 4], [1, 8]])

    trainer(2, resizing(), save_after(4, path)).fit(classifier(), TinyImages())
    sizes = train_size()
    trainer(2, resizing(), sizes).fit(classifier(), TinyImages(), ckpt_path=path, weights_only=True)
    assert sizes.values[0] == 8


@pytest.mark.parametrize("epochs", [[], [1, 2], [0, 2, 2], [0, 3, 1]])
def test_epochs_must_begin_with_0_and_increase(epochs):
    with pytest.raises(ValueError, match=r"begin with epoch 0 and increase, got epochs \["):
        ProgressiveResizing(sizes=[(epoch, 8) for epoch in epochs])


def test_a_size_below_one_pixel_is_refused():
    with pytest.raises(ValueError, match=r"1 pixel or more, got \[8, 0\]"):
        ProgressiveResizing(sizes=[(0, 8), (1, 0)])


def test_a_datamodule_without_images_is_named():
    run = trainer()
    run.datamodule = pl.LightningDataModule()
    with pytest.raises(TypeError, match="needs an image datamodule with train_size; LightningDataModule has none"):
        ProgressiveResizing(sizes=[(0, 8)]).setup(run, classifier(), "fit")


@pytest.mark.parametrize(("value", "fits"), [([[0, 16], [8, None]], True), ([[0]], False), ([[0, "16"]], False)])
def test_the_check_of_a_config_knows_its_pairs(value, fits):
    signature = signature_of("src.callbacks.images.progressive_resizing.ProgressiveResizing")
    assert accepts(signature.annotations["sizes"], value) is fits
