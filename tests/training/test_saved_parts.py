import sys
from functools import partial

import pytest
import torch

from src.models.schedules import constant
from src.training.checkpoint import PACKAGES
from src.training.saved_parts import build


def built(config, *trust):
    return build(config, "a.ckpt", PACKAGES, trust)


def part(name, **arguments):
    return {"_target_": name, **arguments}


def test_a_config_of_plain_values_stays_as_it_is():
    assert built({"widths": [4, 7], "name": None, "more": {"lr": 0.1}}) == {
        "widths": [4, 7], "name": None, "more": {"lr": 0.1},
    }  # fmt: skip


def test_classes_are_called_with_their_arguments_and_their_parts():
    found = built({"net": part("torch.nn.Sequential", _args_=[part("torch.nn.Linear", in_features=2, out_features=3)])})
    assert str(found["net"][0]) == "Linear(in_features=2, out_features=3, bias=True)"


def test_partial_parts_are_called_later():
    found = built(
        [part("torch.optim.SGD", _partial_=True, lr=0.1), part("src.models.schedules.constant", _partial_=True)]
    )
    assert [type(each) for each in found] == [partial, partial]
    assert (found[0].func, found[0].keywords, found[1].func) == (torch.optim.SGD, {"lr": 0.1}, constant)


@pytest.mark.parametrize(
    "name",
    [
        "os.mkdir",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "torch.nn.os.mkdir",  # not defined there
        "torch.nn.init.constant_",  # a function
        "torch.optim.swa_utils.update_bn",
        "torch.nn.modules.module.partial",
        "torch.nn.modules.module",  # a module
        "torch.nn",
        "src.models.base.BaseModel.load_from_checkpoint",
        "src.models.base.nn.modules.module.torch.hub.load",
        "src.models.base.pl.LightningModule.load_from_checkpoint",
        "src.models.images.classifier.read_checkpoint",
        "src.core.files.write_text",
        "src.models",
        "",
        3,
        ["os.mkdir"],
    ],
)
def test_nothing_else_is_called(name):
    with pytest.raises(ValueError, match=r"a.ckpt names .*, which is not run"):
        built(part(name))


def test_a_package_that_is_not_trusted_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "unseen_package.py").write_text("class Net: pass")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"names unseen_package.Net, .*give trust=\[unseen_package\]"):
        built(part("unseen_package.Net"))
    assert "unseen_package" not in sys.modules
    assert type(built(part("unseen_package.Net"), "unseen_package")).__name__ == "Net"


def test_trust_takes_functions_too_if_they_are_defined_there():
    assert built(part("textwrap.dedent", text="  a"), "textwrap") == "a"
    with pytest.raises(ValueError, match=r"names textwrap.re.compile, which is not run"):
        built(part("textwrap.re.compile", pattern="a"), "textwrap")


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${b}", "${oc.create:{_target_: os.getcwd}}"])
def test_an_interpolation_is_refused_and_not_resolved(text):
    with pytest.raises(ValueError, match=r"a.ckpt holds the text .*: a saved config has plain values only"):
        built({"deep": [{"value": text}]})


def test_wrong_arguments_are_told_with_the_part():
    with pytest.raises(ValueError, match=r"a.ckpt: torch.nn.Linear does not take what the file gives it: .*widths"):
        built(part("torch.nn.Linear", widths=3))


@pytest.fixture
def timm(tmp_path, monkeypatch):
    """A package of that name, whose create_model returns its arguments."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("def create_model(**arguments): return arguments\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    yield
    sys.modules.pop("timm", None)


def test_a_net_of_timms_reads_no_file_and_needs_no_weights(timm):
    name = "src.models.images.timm_net.TimmNet"
    choices = {"_partial_": True, "model_name": "resnet18", "pretrained": True, "weights_file": "weights.pth"}
    made = built(part(name, **choices))
    assert made.keywords == {"model_name": "resnet18", "pretrained": False, "weights_file": None}
    for wrong in ({"checkpoint_path": "weights.pth"}, {"model_name": "hf-hub:user/net"}):
        with pytest.raises(ValueError, match=r"a.ckpt has timm read .*; if you know the file, give trust=\[timm\]"):
            built(part(name, **(choices | wrong)))


def test_timm_makes_nets_and_fetches_no_weights(timm):
    found = built(part("timm.create_model", model_name="resnet18", pretrained=True))
    assert found == {"model_name": "resnet18", "pretrained": False}


@pytest.mark.parametrize(
    "arguments",
    [
        {"model_name": "hf-hub:user/net"},
        {"model_name": "local-dir:/home"},
        {"model_name": "resnet18", "checkpoint_path": "weights.pth"},
        {"model_name": "resnet18", "pretrained_cfg": {"file": "weights.pth"}},
        {"model_name": "resnet18", "pretrained_cfg_overlay": {"url": "https://example.org"}},
    ],
)
def test_timm_reads_no_file_that_a_checkpoint_names(timm, arguments):
    with pytest.raises(ValueError, match=r"a.ckpt has timm read .*; if you know the file, give trust=\[timm\]"):
        built(part("timm.create_model", **arguments))
    assert built(part("timm.create_model", **arguments), "timm")["model_name"] == arguments["model_name"]
