import pytest
import torch

from src.models.images.views import views

IMAGES = torch.arange(24, dtype=torch.uint8).view(1, 2, 3, 4)


@pytest.mark.parametrize(("flip", "crop", "count"), [(False, 0, 1), (True, 0, 2), (False, 1, 3), (True, 2, 6)])
def test_weights_are_those_of_a_mean_and_the_image_comes_first(flip, crop, count):
    found = list(views(IMAGES, flip, crop))
    assert len(found) == count
    assert sum(weight for weight, _ in found) == 1
    assert found[0][1] is IMAGES


def test_the_shifts_are_those_of_crops_from_the_image_with_its_border_reflected():
    padded = torch.nn.functional.pad(IMAGES.float(), (1, 1, 1, 1), mode="reflect").byte()
    _, (_, lower_right), (_, upper_left) = views(IMAGES, False, 1)
    assert torch.equal(lower_right, padded[:, :, 2:, 2:])
    assert torch.equal(upper_left, padded[:, :, :3, :4])


def test_every_view_has_its_mirror_image():
    (_, image), (_, mirrored), (_, shifted), (_, shifted_mirrored), *_ = views(IMAGES, True, 1)
    assert torch.equal(mirrored, image.flip(3))
    assert torch.equal(shifted_mirrored, shifted.flip(3))


def test_a_shift_of_the_whole_image_is_refused():
    with pytest.raises(ValueError, match="crop_tta must be smaller than the image, got 3 for 3x4"):
        list(views(IMAGES, False, 3))
