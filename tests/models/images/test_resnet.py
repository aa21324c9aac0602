import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.images.resnet import Block, BlurPool, ResNet
from src.models.layer_groups import layer_groups
from tests.support.programs import composed

RESNET18 = {
    "blocks": [2, 2, 2, 2],
    "bottleneck": False,
    "width": 64,
    "stem": "large",
    "zero_init_residual": False,
    "antialias": False,
}
RESNET34 = RESNET18 | {"blocks": [3, 4, 6, 3]}
RESNET50 = RESNET34 | {"bottleneck": True}
TINY = RESNET18 | {"blocks": [1, 2], "width": 4, "stem": "small"}


@pytest.mark.parametrize(("choices", "known"), [(RESNET18, 11_689_512), (RESNET34, 21_797_672), (RESNET50, 25_557_032)])
def test_the_number_of_parameters_is_the_known_one(choices, known):
    with torch.device("meta"):
        net = ResNet(3, 1000, **choices)
    assert sum(parameter.numel() for parameter in net.parameters()) == known


@pytest.mark.parametrize(
    ("stem", "sizes"), [("large", [56, 28, 14, 7]), ("xresnet", [56, 28, 14, 7]), ("small", [224, 112, 56, 28])]
)
@pytest.mark.parametrize("antialias", [False, True])
def test_stages_halve_the_image_as_in_the_papers_table(stem, sizes, antialias):
    with torch.device("meta"):
        net = ResNet(3, 10, **(RESNET50 | {"stem": stem, "antialias": antialias}))
        x = net.stem(torch.empty(2, 3, 224, 224))
        shapes = [tuple((x := stage(x)).shape) for stage in net.stages]
    assert shapes == [(2, 256 * 2**depth, size, size) for depth, size in enumerate(sizes)]


def test_a_block_adds_its_branch_to_its_input():
    block = Block(3, 3, stride=1, bottleneck=False, antialias=False).eval()
    x = torch.randn(2, 3, 5, 6)
    assert_close(block(x), (x + block.branch(x)).relu())


def test_a_block_that_halves_projects_its_input():
    block = Block(3, 4, stride=2, bottleneck=True, antialias=False).eval()
    x = torch.randn(2, 3, 6, 8)
    assert block(x).shape == (2, 16, 3, 4)
    assert_close(block(x), (block.shortcut(x) + block.branch(x)).relu())


def test_a_bottleneck_has_its_stride_in_the_middle():
    strides = [layer.stride[0] for layer in Block(3, 4, 2, True, False).branch if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 2, 1]


@pytest.mark.parametrize("bottleneck", [False, True])
def test_zero_init_makes_each_block_its_shortcut(bottleneck):
    net = ResNet(2, 3, **(TINY | {"zero_init_residual": True, "bottleneck": bottleneck}))
    for stage in net.stages:
        for block in stage:
            assert block.branch(torch.randn(2, block.branch[0].in_channels, 6, 6)).abs().max() == 0


def test_without_zero_init_each_branch_takes_part():
    block = ResNet(2, 3, **TINY).stages[0][0]
    assert block.branch(torch.randn(2, 4, 6, 6)).abs().max() > 0


def test_weights_start_as_he_et_al_drew_them():
    torch.manual_seed(0)
    net = ResNet(3, 10, **(RESNET18 | {"blocks": [1, 1]}))
    weight = net.stages[1][0].branch[0].weight  # from 64 to 128 channels
    assert weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)  # sqrt(2 / fan out)


def test_antialias_adds_no_weight():
    plain, blurred = (ResNet(2, 3, **(TINY | {"antialias": on})).state_dict() for on in (False, True))
    assert [w.shape for w in plain.values()] == [w.shape for w in blurred.values()]


def test_antialias_makes_the_logits_steadier_under_a_shift():
    torch.manual_seed(0)
    images = torch.nn.functional.pad(torch.rand(8, 2, 8, 8), (4, 4, 4, 4))
    change = {}
    for antialias in (False, True):
        torch.manual_seed(1)
        net = ResNet(2, 3, **(TINY | {"antialias": antialias, "blocks": [1, 1, 1]})).eval()
        features = [net.stages(net.stem(x)).mean((2, 3)) for x in (images, images.roll(1, 3))]
        change[antialias] = ((features[0] - features[1]).norm() / features[0].norm()).item()
    assert change[True] < change[False] / 2


@pytest.mark.parametrize(("blocks", "early"), [([1, 1, 1, 1], 2), ([1, 1, 1], 1), ([1], 0)])
def test_layer_groups_are_stem_with_early_stages_late_stages_and_head(blocks, early):
    net = ResNet(2, 3, **(TINY | {"blocks": blocks}))
    stages = list(net.stages)
    assert layer_groups(net) == [[net.stem, *stages[:early]], stages[early:], [net.head]]


@pytest.mark.parametrize("stem", ["small", "large", "xresnet"])
@pytest.mark.parametrize("antialias", [False, True])
def test_images_of_a_few_pixels_pass(stem, antialias):
    net = ResNet(2, 3, **(TINY | {"stem": stem, "antialias": antialias, "blocks": [1, 1, 1, 1]})).eval()
    assert net(torch.randn(4, 2, 8, 7)).shape == (4, 3)


@pytest.mark.parametrize("blocks", [[], [2, 0]])
def test_a_stage_needs_a_block(blocks):
    with pytest.raises(ValueError, match="each of one block or more, got"):
        ResNet(2, 3, **(TINY | {"blocks": blocks}))


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="small, large or xresnet, got huge"):
        ResNet(2, 3, **(TINY | {"stem": "huge"}))


def test_a_point_is_spread_by_hand():
    point = torch.zeros(1, 1, 4, 4)
    point[0, 0, 1, 2] = 16.0
    # Kept: rows and columns 0 and 2; the point is a row away from both, in column 2.
    assert BlurPool()(point)[0, 0].tolist() == [[0.0, 2.0], [0.0, 2.0]]


def test_an_even_image_stays_even_up_to_its_border():
    assert_close(BlurPool()(torch.full((2, 3, 5, 7), 4.0)), torch.full((2, 3, 3, 4), 4.0))


def test_channels_do_not_mix():
    images = torch.zeros(1, 3, 4, 4)
    images[:, 1] = 1.0
    assert BlurPool()(images).amax((0, 2, 3)).tolist() == [0.0, 1.0, 0.0]


def test_a_image_of_one_pixel_passes():
    assert BlurPool()(torch.full((1, 1, 1, 1), 3.0)).item() == 3.0


def test_stripes_vanish_that_would_alias():
    stripes = torch.tensor([0.0, 1.0] * 4).expand(1, 1, 8, 8)
    blurred = BlurPool()(stripes)[..., 1:]  # the border is repeated, so the first column differs
    assert_close(blurred, torch.full_like(blurred, 0.5))


def test_the_filter_is_no_weight():
    assert BlurPool().state_dict() == {}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("resnet18", RESNET18 | {"stem": "small"}),
        ("resnet34", RESNET34 | {"stem": "small"}),
        ("resnet50", RESNET50),
    ],
)
def test_each_config_holds_the_choices_of_its_net(name, choices):
    net = composed("model=image_classifier", f"model/net={name}").model.net
    assert {key: net[key] for key in choices} == choices | {"zero_init_residual": True}
    assert set(net) - set(choices) == {"_target_", "_partial_"}
