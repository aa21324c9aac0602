import pytest
import torch
from torch.testing import assert_close

from src.datamodules.images.augmentation import Augmentation, _reflect, flip_and_crop, recolour, which_to_mirror
from src.datamodules.images.mixing import cutmix, mixup
from src.datamodules.images.scaling import scale


def augmentation(**changes):
    names = ("rotation", "translation", "scale", "lighting", "color", "erasing", "mixup", "cutmix")
    geometry = {"flip": False, "crop_scale": None, "crop_ratio": (0.75, 1.333), "crop_padding": 0}
    return Augmentation(**{**geometry, **dict.fromkeys(names, 0.0), **changes})


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randint(0, 256, (4, 6, 5, 3), dtype=torch.uint8)


LABELS = torch.tensor([0, 2, 1, 2])
SIZE = (6, 5)  # of the images


def test_reflection_folds_back_without_repeating_the_border():
    assert _reflect(torch.arange(-2, 6), 4).tolist() == [2, 1, 0, 1, 2, 3, 2, 1]


def shifted(image, down, right, mirrored):
    """One image, shifted by whole pixels with reflected borders, then mirrored: the slow way."""
    height, width, _ = image.shape
    padded = torch.nn.functional.pad(image.permute(2, 0, 1).float(), (2, 2, 2, 2), mode="reflect").permute(1, 2, 0)
    cut = padded[2 + down : 2 + down + height, 2 + right : 2 + right + width].to(image.dtype)
    return cut.flip(1) if mirrored else cut


def test_flip_and_crop_gives_each_image_one_of_the_shifts_and_flips(images):
    for image, changed in zip(images, flip_and_crop(images, True, 2), strict=True):
        choices = [
            shifted(image, down, right, mirrored)
            for down in range(-2, 3)
            for right in range(-2, 3)
            for mirrored in (False, True)
        ]
        assert any(torch.equal(changed, choice) for choice in choices)


def test_flip_mirrors_about_half_of_the_images():
    torch.manual_seed(0)
    row = torch.arange(3).view(1, 1, 3, 1).repeat(1000, 2, 1, 1)
    mirrored = (flip_and_crop(row, True, 0)[:, 0, 0, 0] == 2).float()
    assert 0.45 < mirrored.mean() < 0.55


def sides(images, epoch, **choices):
    """Which images of an epoch come out mirrored."""
    out, _ = augmentation(flip="alternate", **choices)(images, torch.zeros(len(images)).long(), 3, (6, 6), epoch)
    return (out[:, 0, 0, 0] > out[:, 0, 0, -1]).tolist()


@pytest.mark.parametrize("choices", [{}, {"crop_padding": 1}, {"crop_scale": (0.9, 1.0)}])
def test_alternating_flips_show_each_image_from_both_sides_in_any_two_epochs(choices):
    ramps = torch.arange(6).mul(20).view(1, 1, 6, 1) + torch.randint(0, 100, (40, 1, 1, 1))
    ramps = ramps.expand(40, 6, 6, 3).to(torch.uint8)
    first, second, third = (sides(ramps, epoch, **choices) for epoch in (0, 1, 2))
    assert first == third
    assert [not mirrored for mirrored in first] == second


@pytest.mark.parametrize("step", [1, 2, 255])
def test_alternating_flips_mirror_about_half_of_the_images_in_an_epoch(step):
    torch.manual_seed(0)
    images = torch.randint(0, 256 // step + 1, (1000, 4, 4, 3)).mul(step).clamp(max=255).to(torch.uint8)
    assert 0.45 < which_to_mirror(images, "alternate", 0).float().mean() < 0.55


def test_alternating_flips_depend_on_the_image_alone():
    images = torch.randint(0, 256, (50, 4, 4, 3), dtype=torch.uint8)
    order = torch.randperm(50)
    mirrored = which_to_mirror(images, "alternate", 3)
    assert torch.equal(which_to_mirror(images[order], "alternate", 3), mirrored[order])


def test_an_unknown_way_to_flip_is_refused():
    with pytest.raises(ValueError, match=r"augmentation.flip must be true, false or alternate, got sometimes"):
        augmentation(flip="sometimes")


def test_crop_without_flip_never_mirrors():
    ramp = torch.arange(7).view(1, 1, 7, 1).repeat(100, 7, 1, 1)
    middle = flip_and_crop(ramp, False, 2)[:, 0, 2:5, 0]
    assert (middle.diff(dim=1) == 1).all()


def test_every_shift_up_to_the_padding_occurs():
    torch.manual_seed(0)
    ramp = torch.arange(7).view(1, 1, 7, 1).repeat(200, 7, 1, 1)
    assert flip_and_crop(ramp, False, 2)[:, 0, 3, 0].unique().tolist() == [1, 2, 3, 4, 5]


def test_images_of_a_batch_move_on_their_own_down_and_sideways():
    torch.manual_seed(0)
    grid = torch.stack(torch.meshgrid(torch.arange(6), torch.arange(5), indexing="ij"), -1)
    shifts = flip_and_crop(grid.repeat(300, 1, 1, 1), False, 1)[:, 2, 2] - 2
    assert {tuple(shift) for shift in shifts.tolist()} == {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)}


def test_a_padding_just_below_the_side_is_fine(images):
    assert flip_and_crop(images, False, 4).shape == images.shape


@pytest.mark.parametrize("change", [{"flip": True}, {"crop_padding": 2}])
def test_flip_and_crop_each_work_alone(images, change):
    torch.manual_seed(0)
    assert not torch.equal(augmentation(**change)(images, LABELS, 3, SIZE)[0], images.permute(0, 3, 1, 2))


def test_without_any_change_bytes_pass_as_they_are(images):
    out, labels = augmentation()(images, LABELS, 3, SIZE)
    assert torch.equal(out, images.permute(0, 3, 1, 2))
    assert labels is LABELS


def test_flip_and_crop_alone_keep_bytes(images):
    out, _ = augmentation(flip=True, crop_padding=1)(images, LABELS, 3, SIZE)
    assert out.dtype == torch.uint8
    assert out.shape == (4, 3, 6, 5)


def drawn(step, size=(400, 3, 6, 5), **changes):
    """The numbers that kornia draws for the only step of an augmentation."""
    torch.manual_seed(0)
    changing = augmentation(**{step: 0.2, **changes})
    return (changing.erase or changing.affine).forward_parameters(torch.Size(size))


def spans(values, low, high):
    """Whether values lie within two bounds and come near both."""
    room = 0.05 * (high - low)
    return low <= values.min() < low + room and high - room < values.max() <= high


def test_angle_shift_and_size_lie_within_the_amounts_either_way():
    assert spans(drawn("rotation", rotation=30.0)["angle"], -30, 30)
    assert spans(drawn("translation")["translations"][:, 0], -0.2 * 5, 0.2 * 5)
    assert spans(drawn("translation")["translations"][:, 1], -0.2 * 6, 0.2 * 6)
    assert spans(drawn("scale")["scale"], 0.8, 1.2)


def test_only_what_is_asked_for_changes_the_geometry():
    assert drawn("scale")["angle"].unique().tolist() == [0]
    assert drawn("scale")["translations"].unique().tolist() == [0]
    assert drawn("rotation")["scale"].unique().tolist() == [1]


def test_geometry_changes_every_image():
    assert drawn("rotation")["batch_prob"].tolist() == [1] * 400


def grey_pair(rows):
    """Images whose left half has the value 0.3 and whose right half 0.5: mean 0.4, contrast 0.2."""
    return torch.tensor([0.3, 0.5]).repeat_interleave(2).expand(rows, 1, 3, 4)


def test_lighting_multiplies_contrast_around_the_mean_and_then_all():
    torch.manual_seed(0)
    low, high = recolour(grey_pair(400), 0.2, 0.0)[:, 0, 0, [0, -1]].unbind(1)
    brightness = (low + high) / 2 / 0.4
    contrast = (high - low) / 0.2 / brightness
    assert spans(brightness, 0.8, 1.2)
    assert spans(contrast, 0.8, 1.2)


def test_color_multiplies_the_distance_to_grey():
    torch.manual_seed(0)
    orange = torch.tensor([0.5, 0.4, 0.2]).view(1, 3, 1, 1).expand(400, 3, 2, 2)
    red, green, blue = recolour(orange, 0.0, 0.3)[:, :, 0, 0].unbind(1)
    assert spans((red - blue) / 0.3, 0.7, 1.3)
    assert_close(
        0.299 * red + 0.587 * green + 0.114 * blue, torch.full((400,), 0.299 * 0.5 + 0.587 * 0.4 + 0.114 * 0.2)
    )


def test_lighting_leaves_ratios_of_channels_to_grey_alone():
    torch.manual_seed(0)
    even = torch.tensor([0.5, 0.4, 0.2]).view(1, 3, 1, 1).expand(4, 3, 2, 2)
    red, green, _ = recolour(even, 0.2, 0.0)[:, :, 0, 0].unbind(1)
    assert (red > green).all()
    assert len(red.unique()) == 4


def test_of_lighting_and_color_the_larger_counts():
    assert augmentation(lighting=0.3, color=0.1).lighting == 0.3
    assert augmentation(lighting=0.1, color=0.3).lighting == 0.3


def test_a_share_of_the_images_is_erased():
    assert 0.15 < drawn("erasing")["batch_prob"].mean() < 0.25


def test_borders_that_turn_into_view_are_reflected_and_not_black():
    white = torch.full((4, 6, 5, 3), 255, dtype=torch.uint8)
    assert_close(augmentation(rotation=45.0)(white, LABELS, 3, SIZE)[0], torch.ones(4, 3, 6, 5))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "name", ["rotation", "translation", "scale", "lighting", "color", "erasing", "mixup", "cutmix"]
)
def test_each_change_keeps_shape_and_range(images, name, channels):
    out, _ = augmentation(**{name: 30.0 if name == "rotation" else 1.0})(images[..., :channels], LABELS, 3, SIZE)
    assert out.shape == (4, channels, 6, 5)
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize(
    "name", ["rotation", "translation", "scale", "lighting", "color", "erasing", "mixup", "cutmix"]
)
def test_each_change_changes_images(images, name):
    torch.manual_seed(1)
    out, _ = augmentation(**{name: 30.0 if name == "rotation" else 0.9})(images, LABELS, 3, SIZE)
    assert not torch.allclose(out, images.permute(0, 3, 1, 2) / 255)


def constant(labels):
    """Images whose every pixel is the label's share of the classes: 0, 0.5 or 1."""
    return (labels / 2).view(-1, 1, 1, 1).expand(-1, 3, 6, 5).clone()


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixed_labels_sum_to_one(images, mix):
    _, probabilities = mix(images.permute(0, 3, 1, 2), LABELS, 3)
    assert probabilities.shape == (4, 3)
    assert_close(probabilities.sum(1), torch.ones(4))


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixed_labels_say_what_share_of_the_pixels_is_whose(mix):
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    mixed, probabilities = mix(constant(labels), labels, 3)
    # The mean pixel is the mean of the labels' values, weighted as the probabilities are.
    assert_close(mixed.mean((1, 2, 3)), probabilities @ torch.tensor([0.0, 0.5, 1.0]))


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_several_labels_are_mixed_as_single_ones_are(mix):
    torch.manual_seed(1)
    images = constant(LABELS)
    torch.manual_seed(2)
    _, of_classes = mix(images, LABELS, 3)
    torch.manual_seed(2)
    _, of_floats = mix(images, torch.nn.functional.one_hot(LABELS, 3).float(), 3)
    assert torch.equal(of_classes, of_floats)
    assert (of_classes % 1 > 0).any()


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_each_row_has_a_share_of_its_own(mix):
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    _, probabilities = mix(constant(labels), labels, 3)
    assert len(probabilities.amax(1).unique()) > 3


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixing_brings_bytes_to_floats_from_0_to_1(mix):
    white = torch.full((4, 3, 6, 5), 255, dtype=torch.uint8)
    assert_close(mix(white, LABELS, 3)[0], torch.ones(4, 3, 6, 5))


@pytest.mark.parametrize(
    ("chance", "done"), [(0, "mixup"), (0.29, "mixup"), (0.3, "cutmix"), (0.49, "cutmix"), (0.51, None), (0.9, None)]
)
def test_chance_decides_how_a_batch_is_mixed(images, monkeypatch, chance, done):
    monkeypatch.setattr(torch, "rand", lambda size: torch.tensor(chance, dtype=torch.float64))
    for name in ("mixup", "cutmix"):
        monkeypatch.setattr(f"src.datamodules.images.augmentation.{name}", lambda *given, name=name: name)
    mixed = augmentation(mixup=0.3, cutmix=0.2)(images, LABELS, 3, SIZE)
    assert mixed == done if done else mixed[1] is LABELS


def test_without_mixing_no_chance_is_drawn(images):
    before = torch.get_rng_state()
    augmentation()(images, LABELS, 3, SIZE)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_what_comes_out(images):
    changing = augmentation(flip=True, crop_padding=2, rotation=10.0, color=0.2, erasing=0.5, mixup=1.0)
    torch.manual_seed(3)
    first = changing(images, LABELS, 3, SIZE)[0]
    torch.manual_seed(3)
    assert torch.equal(changing(images, LABELS, 3, SIZE)[0], first)


def test_a_crop_of_everything_is_what_validation_sees():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 12, 12, 3), dtype=torch.uint8)
    whole = augmentation(crop_scale=(1.0, 1.0))(images, LABELS, 3, (6, 5))[0]
    assert torch.equal(whole, scale(images.permute(0, 3, 1, 2), (6, 5)))


def test_crops_have_the_size_asked_for_and_stay_bytes():
    images = torch.randint(0, 256, (4, 12, 9, 3), dtype=torch.uint8)
    out, _ = augmentation(crop_scale=(0.3, 1.0), crop_padding=1, flip=True)(images, LABELS, 3, (6, 5))
    assert (out.dtype, out.shape) == (torch.uint8, (4, 3, 6, 5))


def test_about_half_of_the_crops_are_mirrored_only_with_flip():
    torch.manual_seed(0)
    ramp = torch.arange(8, dtype=torch.uint8).mul(30).view(1, 1, 8, 1).expand(1000, 8, 8, 3)
    labels = torch.zeros(1000, dtype=torch.long)
    for flip, low, high in ((True, 0.45, 0.55), (False, 0, 0)):
        out, _ = augmentation(crop_scale=(0.5, 1.0), flip=flip)(ramp, labels, 3, (4, 4))
        mirrored = (out[:, 0, 0, 0] > out[:, 0, 0, -1]).float().mean()
        assert low <= mirrored <= high


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.5, 0.4), (0.5, 1.1)])
def test_crops_of_nothing_or_of_more_than_all_are_refused(scale):
    with pytest.raises(ValueError, match="crop_scale must be two shares from above 0 to 1, got"):
        augmentation(crop_scale=scale)


@pytest.mark.parametrize("ratio", [(0.0, 1.0), (2.0, 1.0)])
def test_crop_ratios_that_are_none_are_refused(ratio):
    with pytest.raises(ValueError, match="crop_ratio must be two positive numbers, the smaller first, got"):
        augmentation(crop_ratio=ratio)


def test_a_padding_as_large_as_the_image_is_refused(images):
    with pytest.raises(ValueError, match="crop_padding must be smaller than the image, got 5 for 6x5"):
        flip_and_crop(images, False, 5)


def test_a_negative_padding_is_refused():
    with pytest.raises(ValueError, match="crop_padding must not be negative, got -1"):
        augmentation(crop_padding=-1)


@pytest.mark.parametrize("share", [-0.1, 1.5])
@pytest.mark.parametrize("name", ["translation", "scale", "lighting", "color", "erasing", "mixup", "cutmix"])
def test_a_share_beyond_0_and_1_is_refused(name, share):
    with pytest.raises(ValueError, match=f"augmentation.{name} must be within 0 and 1, got {share}"):
        augmentation(**{name: share})


def test_more_mixing_than_batches_is_refused():
    with pytest.raises(ValueError, match=r"mixup \+ cutmix must be within 0 and 1, got 1.2"):
        augmentation(mixup=0.6, cutmix=0.6)
