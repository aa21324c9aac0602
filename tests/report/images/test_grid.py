import io
import re
from base64 import b64decode

import numpy as np
import pytest
import torch
from PIL import Image

from src.report.images.grid import MAX_SIDE, as_markup, as_pixels, draw_grid

PIXELS = np.zeros((5, 8, 6, 3), np.uint8)
HEAT = torch.linspace(0, 1, 5 * 8 * 6).view(5, 8, 6)


def places(figure, images):
    """(column, row) of images in the figure's grid, by their left tops."""
    tops = sorted({image.get_extent()[3] for image in images})
    return [(int(image.get_extent()[0]), tops.index(image.get_extent()[3])) for image in images]


def test_a_heat_map_lies_over_a_second_image_beside_the_first():
    figure = draw_grid(PIXELS[:4], HEAT[:4], list("abcd"))
    found = places(figure, figure.axes[0].images)
    assert found[:3] == [(0, 0), (1, 0), (1, 0)]  # image, image, heat
    assert found[9:] == [(0, 1), (1, 1), (1, 1)]


def test_without_heat_there_are_images_alone():
    figure = draw_grid(PIXELS, None, list("abcde"))
    assert places(figure, figure.axes[0].images) == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)]


def test_each_caption_stands_above_its_image():
    axes = draw_grid(PIXELS, HEAT, list("abcde")).axes[0]
    assert [text.get_text() for text in axes.texts] == list("abcde")
    for text, image in zip(axes.texts, axes.images[::3], strict=True):
        left, right, bottom, top = image.get_extent()
        assert left <= text.get_position()[0] < right
        assert text.get_position()[1] < top < bottom  # the axis points down


@pytest.mark.parametrize("heat", [None, HEAT])
def test_captions_lie_within_the_figure_and_apart(heat):
    figure = draw_grid(PIXELS, heat, ["a_name_of_14_l\npredicted a_name_of_14_l\n100.0%, loss 0.000123"] * 5)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(0 <= box.x0 < box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)


def test_an_image_without_heat_has_no_line():
    axes = draw_grid(PIXELS[:1], torch.zeros(1, 8, 6), ["a"]).axes[0]
    assert len(axes.collections) == 0


def test_the_line_goes_round_the_hottest_quarter():
    heat = torch.linspace(0, 1, 8).expand(1, 8, 8)  # the hotter, the further right
    axes = draw_grid(np.zeros((1, 8, 8, 3), np.uint8), heat, ["a"]).axes[0]
    left, right, *_ = axes.images[-1].get_extent()
    x = axes.collections[0].get_paths()[0].vertices[:, 0]
    assert (x.mean() - left) / (right - left) == pytest.approx(0.75, abs=0.02)


def test_bytes_stay_as_they_are():
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    assert np.array_equal(as_pixels(images), images.permute(0, 2, 3, 1).numpy())


def test_floats_become_bytes():
    images = torch.tensor([0.0, 0.5, 1.0, 1.2]).view(1, 1, 2, 2)
    assert as_pixels(images)[0, :, :, 0].tolist() == [[0, 128], [255, 255]]


def test_two_channels_are_shown_by_their_mean():
    images = torch.tensor([10, 30], dtype=torch.uint8).view(1, 2, 1, 1)
    assert as_pixels(images).tolist() == [[[[20, 20, 20]]]]


def test_of_five_channels_the_first_three_are_shown():
    images = torch.tensor([10, 30, 50, 70, 90], dtype=torch.uint8).view(1, 5, 1, 1)
    assert as_pixels(images).tolist() == [[[[10, 30, 50]]]]


def test_large_images_are_shrunk_in_proportion():
    assert as_pixels(torch.zeros(1, 3, 400, 200)).shape == (1, MAX_SIDE, MAX_SIDE // 2, 3)


def test_an_element_holds_the_image_and_its_text():
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    element = as_markup(pixels, 'a "dog" & <cat>')
    assert 'alt="a &#34;dog&#34; &amp; &lt;cat&gt;"' in element
    with Image.open(io.BytesIO(b64decode(re.search(r"base64,([^\"]+)", element)[1]))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)
