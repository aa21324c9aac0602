from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from src.callbacks.images.first_batch import FirstBatch, as_bytes, draw_grid
from tests.support.programs import table_of, train_here


def test_float_images_become_bytes_with_channels_last():
    images = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    assert as_bytes(images).shape == (2, 4, 5, 3)
    assert as_bytes(images)[1, 3, 4].tolist() == [0, 128, 255]


def test_bytes_stay_as_they_are():
    images = torch.arange(24, dtype=torch.uint8).view(1, 3, 2, 4)
    assert np.array_equal(as_bytes(images)[0], images[0].permute(1, 2, 0).numpy())


def test_grey_images_lose_their_channel():
    assert as_bytes(torch.zeros(2, 1, 4, 5, dtype=torch.uint8)).shape == (2, 4, 5)


def test_each_image_stands_below_its_caption():
    axes = draw_grid(np.zeros((5, 8, 8), np.uint8), list("abcde"), columns=3).axes[0]
    assert [text.get_text() for text in axes.texts] == list("abcde")
    for text, image in zip(axes.texts, axes.images, strict=True):
        left, right, bottom, top = image.get_extent()
        assert left < text.get_position()[0] < right
        assert text.get_position()[1] < top < bottom  # the axis points down


def test_images_fill_row_after_row():
    axes = draw_grid(np.zeros((5, 8, 8), np.uint8), list("abcde"), columns=3).axes[0]
    corners = [(image.get_extent()[0], image.get_extent()[3]) for image in axes.images]  # left, top
    assert [int(left) for left, _ in corners] == [0, 1, 2, 0, 1]
    assert corners[0][1] == corners[2][1] < corners[3][1] == corners[4][1]


def test_no_global_state_of_matplotlib_is_touched():
    backend = matplotlib.get_backend()
    draw_grid(np.zeros((1, 8, 8), np.uint8), ["a"], columns=3)
    assert matplotlib.get_backend() == backend
    assert matplotlib._pylab_helpers.Gcf.figs == {}


AUGMENTED = ("trainer.max_epochs=1", "datamodule.augmentation.mixup=1.0", "datamodule.augmentation.color=0.2")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return train_here(tmp_path_factory.mktemp("drawn"), "callbacks=images", *AUGMENTED)


def test_a_training_leaves_a_figure_of_its_first_batch(drawn):
    with Image.open(drawn / "batch.png") as figure:
        assert figure.width > figure.height > 300


def test_drawing_changes_no_random_number(drawn, tmp_path):
    assert table_of(drawn) == table_of(train_here(tmp_path, *AUGMENTED))


@pytest.mark.parametrize(("global_step", "batch_idx", "is_global_zero"), [(1, 0, True), (0, 1, True), (0, 0, False)])
def test_only_the_first_rank_draws_and_only_the_first_batch(tmp_path, global_step, batch_idx, is_global_zero):
    place = SimpleNamespace(global_step=global_step, is_global_zero=is_global_zero)
    FirstBatch(path=str(tmp_path / "batch.png"), rows=1, columns=1).on_train_batch_start(place, None, None, batch_idx)
    assert list(tmp_path.iterdir()) == []


def test_a_grid_without_columns_is_refused():
    with pytest.raises(ValueError, match="at least one row and one column, got rows=2, columns=0"):
        FirstBatch(path="batch.png", rows=2, columns=0)
    with pytest.raises(ValueError, match="at least one row and one column, got rows=0, columns=2"):
        FirstBatch(path="batch.png", rows=0, columns=2)
