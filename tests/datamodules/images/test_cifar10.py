import pytest
import torch

from src.datamodules.images.cifar10 import CIFAR10
from tests.support.make_data import (
    CIFAR_CLASSES,
    cifar_images,
    image_settings,
    write_cifar_binary,
    write_cifar_python,
    write_image_folder,
)


@pytest.fixture
def cifar10(tmp_path):
    """Makes the set of what lies in tmp_path/data, prepared and set up."""

    def make(**changes):
        settings = {"cache_dir": str(tmp_path / "cache"), "on_corrupt": "raise", **image_settings(), **changes}
        data = CIFAR10(data_dir=str(tmp_path / "data"), **settings)
        data.prepare_data()
        data.setup("fit")
        return data

    return make


FORMS = {
    "binary": lambda data: write_cifar_binary(data / "cifar-10"),
    "binary archive": lambda data: write_cifar_binary(data / "cifar-10", archive=True),
    "python": lambda data: write_cifar_python(data / "cifar-10"),
    "python archive": lambda data: write_cifar_python(data / "cifar-10", archive=True),
    "image files": lambda data: write_image_folder(data / "cifar-10"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_of_each_class(cifar10, tmp_path, form):
    (tmp_path / "data").mkdir()
    FORMS[form](tmp_path / "data")
    data = cifar10()
    images, labels = cifar_images(30, seed=1)
    for label in range(10):
        split = data.splits["test"]
        found = split.images[split.rows][split.own_labels == label]
        expected = torch.from_numpy(images[labels == label])
        assert sorted(map(tuple, found.flatten(1).tolist())) == sorted(map(tuple, expected.flatten(1).tolist()))


@pytest.mark.parametrize("form", ["binary", "image files"])
def test_classes_are_in_the_official_order(cifar10, tmp_path, form):
    FORMS[form](tmp_path / "data")
    assert tuple(cifar10().spec["class_names"]) == CIFAR_CLASSES


def test_cats_against_dogs_from_few_images(cifar10, tmp_path):
    write_cifar_binary(tmp_path / "data" / "cifar-10")
    data = cifar10(classes=["cat", "dog"], train_per_class=5)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 10, "test": 6, "valid": 6}
    assert data.spec["num_classes"] == 2


def test_image_files_of_other_classes_are_told(cifar10, tmp_path):
    write_image_folder(tmp_path / "data" / "cifar-10", classes=("airplane", "cats"))
    with pytest.raises(ValueError, match=r"must hold airplane, automobile, .* truck, got airplane, cats"):
        cifar10()


def test_a_missing_set_is_asked_for_at_its_address(cifar10, tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "address", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"lacks cifar-10-binary.tar.gz, and the download failed"):
        cifar10()


def test_setup_before_prepare_data_is_told(tmp_path):
    data = CIFAR10(data_dir=str(tmp_path), cache_dir=str(tmp_path), on_corrupt="raise", **image_settings())
    with pytest.raises(FileNotFoundError, match="does not hold CIFAR-10: call prepare_data before setup"):
        data.setup("fit")
