import io
import re
from base64 import b64decode

import numpy as np
import torch
from PIL import Image

from src.report.images.pixels import MAX_SIDE, as_markup, as_pixels


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


def test_large_pictures_are_shrunk_in_proportion():
    assert as_pixels(torch.zeros(1, 3, 400, 200)).shape == (1, MAX_SIDE, MAX_SIDE // 2, 3)


def test_an_element_holds_the_picture_and_its_text():
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    element = as_markup(pixels, 'a "dog" & <cat>')
    assert 'alt="a &#34;dog&#34; &amp; &lt;cat&gt;"' in element
    with Image.open(io.BytesIO(b64decode(re.search(r"base64,([^\"]+)", element)[1]))) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGB")), pixels)
