from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.images.cnn_small import CNNSmall
from src.models.images.fast_net import FastNet
from src.models.images.mlp import MLP
from src.models.images.resnet import ResNet
from src.report.images.grad_cam import heat_maps, map_layer
from tests.support.tiny import built, classifier

GRADIENT = torch.linspace(0, 1, 20).view(1, 1, 4, 5)  # dark at the left top, bright at the right bottom


class Negatives(nn.Module):
    """The image and its negative, a channel each: a map that is known."""

    def forward(self, images):
        return torch.cat([images, 1 - images], 1)


class BrightOrDark(nn.Module):
    """Logits of three classes: bright, dark, neither."""

    def __init__(self):
        super().__init__()
        self.negatives = Negatives()
        self.head = nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, -1.0]]))

    def forward(self, images):
        return self.head(self.negatives(images).mean((2, 3)))


@pytest.mark.parametrize(
    ("chosen", "expected"), [(0, GRADIENT), (1, 1 - GRADIENT), (2, 0 * GRADIENT)], ids=["bright", "dark", "neither"]
)
def test_a_map_shows_what_speaks_for_the_class(chosen, expected):
    assert_close(heat_maps(BrightOrDark(), GRADIENT, torch.tensor([chosen])), expected[:, 0])


def test_each_image_has_a_class_of_its_own():
    maps = heat_maps(BrightOrDark(), GRADIENT.expand(2, 1, 4, 5), torch.tensor([1, 0]))
    assert_close(maps, torch.cat([1 - GRADIENT[0], GRADIENT[0]]))


def tiny(net, size=16, **choices):
    torch.manual_seed(1)
    return built(classifier(net=partial(net, **choices)), image_size=[size, size]).eval()


RESNET = {"bottleneck": False, "width": 4, "stem": "small", "zero_init_residual": False, "antialias": False}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (tiny(CNNSmall, widths=[3, 4, 5]), "net.stages.2"),  # 4 x 4
        (tiny(CNNSmall, widths=[3, 4, 5, 6]), "net.stages.2"),  # and then 2 x 2
        (tiny(FastNet, widths=[3, 4], depths=[2, 1], norm_momentum=0.1), "net.stages"),
        (tiny(ResNet, blocks=[1, 1, 2], **RESNET), "net.stages"),
        (tiny(MLP, widths=[3], relu=True, dropout=0.0), None),
    ],
    ids=["cnn_small", "cnn_small_deep", "fast_net", "resnet", "mlp"],
)
def test_the_last_layer_with_a_map_of_three_by_three_is_looked_into(model, expected):
    layer = map_layer(model, torch.zeros(1, 2, 16, 16))
    assert {id(module): name for name, module in model.named_modules()}.get(id(layer)) == expected


def test_a_layer_with_channels_last_has_no_map():
    class Turned(nn.Module):
        def forward(self, images):
            return images.permute(0, 2, 3, 1)

    assert map_layer(nn.Sequential(Turned(), nn.Flatten()), torch.zeros(1, 40, 8, 8)) is None


def test_a_net_without_a_map_gives_no_heat():
    model = tiny(MLP, size=6, widths=[3], relu=True, dropout=0.0)
    assert heat_maps(model, torch.zeros(2, 2, 6, 6), torch.tensor([0, 1])) is None


def test_maps_are_those_of_the_formula():
    model = tiny(CNNSmall, size=12, widths=[4, 5])
    images, classes = torch.rand(3, 2, 12, 12), torch.tensor([2, 0, 1])
    seen = []
    handle = model.net.stages[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits = model(images)
    handle.remove()
    slopes = torch.autograd.grad(logits[range(3), classes].sum(), seen[0])[0]
    maps = (slopes.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True).relu()  # equations 1 and 2
    maps = nn.functional.interpolate(maps, (12, 12), mode="bilinear")[:, 0].detach()
    maps -= maps.amin((1, 2), keepdim=True)
    assert_close(heat_maps(model, images, classes), maps / maps.amax((1, 2), keepdim=True))


def test_the_model_stays_as_it_is():
    model = tiny(CNNSmall, widths=[4])
    maps = heat_maps(model, torch.rand(2, 2, 16, 16), torch.tensor([0, 1]))
    assert not maps.requires_grad
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert [name for name, module in model.named_modules() if module._forward_hooks or module._backward_hooks] == []
    assert not nn.modules.module._global_forward_hooks


@pytest.mark.parametrize("state", ["frozen", "inference", "compiled"])
def test_maps_need_no_gradients_of_the_run(state):
    model = tiny(CNNSmall, widths=[4])
    images, classes = torch.rand(2, 2, 16, 16), torch.tensor([0, 1])
    expected = heat_maps(model, images, classes)
    if state == "frozen":
        model.requires_grad_(False)
    if state == "compiled":
        model.net.compile(backend="eager")
        model(images)
    with torch.inference_mode(state == "inference"):
        assert_close(heat_maps(model, images.clone(), classes.clone()), expected)


@pytest.fixture(scope="module")
def trained():
    """A net that tells three shapes apart, wherever they are in an image, with 200 images and their classes."""
    random = torch.Generator().manual_seed(0)
    shapes = torch.stack([torch.eye(4), torch.eye(4).flip(0), torch.ones(4, 4)])

    def images_of(classes):
        images = 0.3 * torch.rand(len(classes), 1, 12, 12, generator=random)
        corners = torch.randint(0, 9, (len(classes), 2), generator=random).tolist()
        for image, (row, column), number in zip(images, corners, classes.tolist(), strict=True):
            image[0, row : row + 4, column : column + 4] += shapes[number]
        return images

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        classes = torch.randint(0, 3, (64,), generator=random)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images_of(classes)), classes).backward()
        optimizer.step()
    classes = torch.arange(200) % 3
    return net.eval(), images_of(classes), classes


def test_hiding_what_it_looked_at_costs_more_than_hiding_anything_else(trained):
    net, images, classes = trained
    with torch.no_grad():
        before = net(images).softmax(1)[range(len(images)), classes]
    assert before.mean() > 0.9
    order = heat_maps(net, images, classes).flatten(1).argsort(dim=1)

    def cost(pixels):
        """By how much the mean probability falls when these pixels of each image, a quarter, take its mean."""
        hidden = torch.zeros_like(order, dtype=torch.bool).scatter(1, pixels, True).view_as(images)
        with torch.no_grad():
            after = net(torch.where(hidden, images.mean((2, 3), keepdim=True), images)).softmax(1)
        return float((before - after[range(len(images)), classes]).mean())

    chance = torch.rand(order.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    hottest, any_, coldest = cost(order[:, -36:]), cost(chance[:, :36]), cost(order[:, :36])
    assert hottest > any_ + 0.05
    assert any_ > coldest + 0.05


@pytest.mark.parametrize(("rows", "has_map"), [(2, False), (3, True)])
def test_a_map_has_three_rows_and_columns_at_least(rows, has_map):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(rows), nn.Flatten())
    assert (map_layer(model, torch.zeros(1, 1, 12, 12)) is model[0]) == has_map


@pytest.mark.parametrize(("columns", "has_map"), [(3, False), (4, True), (11, True), (12, False)])
def test_a_map_has_the_image_s_proportions(columns, has_map):
    model = nn.Sequential(nn.AdaptiveAvgPool2d((6, columns)), nn.Flatten())
    assert (map_layer(model, torch.zeros(1, 1, 12, 12)) is model[0]) == has_map
