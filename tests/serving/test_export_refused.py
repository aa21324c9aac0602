"""What an export refuses, and that it then leaves nothing behind."""

import pytest
import torch

from scripts import export as script
from src.core.errors import ConfigError
from src.serving import export as exporting
from src.training.checkpoint import load_model
from tests.support import tiny
from tests.support.programs import composed, program_without_torch


@pytest.fixture
def model():
    built = tiny.built()
    built.hparams["model"] = {}
    return built


def refused(model, folder, match, format="safetensors", tolerance=1e-5):
    with pytest.raises(ValueError, match=match):
        exporting.export(model, folder, format=format, tolerance=tolerance)


def test_a_file_that_differs_from_the_net_is_not_written(model, tmp_path, monkeypatch):
    def write(served, folder):
        (folder / "model.bin").touch()
        run = exporting.net_run(served)
        return lambda inputs: [output * 1.5 for output in run(inputs)]

    monkeypatch.setitem(exporting.WRITERS, "safetensors", write)
    refused(model, tmp_path / "served", r"by 5\.0e-01 of its largest output, more than tolerance=1e")
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_no_number_differs(model, tmp_path):
    torch.nn.init.constant_(model.net.head.bias, torch.nan)
    refused(model, tmp_path / "served", "differs from the net by nan")


def test_a_net_whose_graph_cannot_be_captured_is_told_in_a_line(model, tmp_path):
    class Choosy(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    model.net = Choosy()
    refused(model, tmp_path / "served", r"Choosy cannot be exported as torch_export: [^\n]+$", "torch_export")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_older_folder(model, tmp_path):
    exporting.export(model, tmp_path / "served", format="safetensors", tolerance=1e-5)
    refused(model, tmp_path / "served", "more than tolerance=-1", tolerance=-1)
    assert len(list((tmp_path / "served").iterdir())) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_folder_takes_the_place_of_the_older(model, tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "model.onnx").touch()
    exporting.export(model, tmp_path / "served", format="safetensors", tolerance=1e-5)
    names = {path.name for path in (tmp_path / "served").iterdir()}
    assert names == {"model.safetensors", "config.json", "preprocessing.json"}


def test_a_model_of_another_kind_is_refused(model, tmp_path):
    model.hparams["spec"] = {"num_classes": 3}
    refused(model, tmp_path / "served", "belongs to no known domain")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="is not a fastlight checkpoint"):
        load_model(tmp_path / "a.ckpt")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.ckpt").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "preprocessing.json").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["checkpoint=b.ckpt"], "checkpoint=b.ckpt is not a file"),
        (["tolerance=0"], "tolerance must be positive, got 0"),
        (["output=served"], "output=served exists: name another folder, or add overwrite=true"),
        (["output=photos", "overwrite=true"], "output=photos exists and is not an exported model"),
        (["output=a.ckpt", "overwrite=true"], "output=a.ckpt exists and is not an exported model"),
    ],
)
def test_files_are_checked_first(files, monkeypatch, overrides, message):
    monkeypatch.chdir(files)
    with pytest.raises(ConfigError, match=f"^{message}"):
        script.check(composed("checkpoint=a.ckpt", "output=new", *overrides, name="export"), script.EXPORT)


def test_an_older_export_gives_way_if_asked_to(files, monkeypatch):
    monkeypatch.chdir(files)
    overrides = ("checkpoint=a.ckpt", "output=served", "overwrite=true")
    script.check(composed(*overrides, name="export"), script.EXPORT)


def test_missing_packages_are_named(files, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setattr(script, "find_spec", lambda name: None if name.startswith("onnx") else name)
    with pytest.raises(ConfigError, match=r"needs onnx, onnxscript, onnxruntime: pip install .* '\.\[export\]'"):
        script.check(composed("checkpoint=a.ckpt", "output=new", name="export"), script.EXPORT)


def test_an_unknown_format_is_answered_in_a_line_before_torch_is_there(files):
    arguments = ("checkpoint=a.ckpt", "output=new", "format=onxx")
    finished = program_without_torch("scripts.export", *arguments, cwd=files)
    assert finished.returncode == 1, finished.stderr
    assert finished.stderr == "error: format must be onnx, torch_export or safetensors, got 'onxx'\n"
