import pytest

from src.datamodules.images.fashion_mnist import FashionMNIST
from tests.support.make_data import image_settings, write_idx_set


@pytest.fixture
def data(tmp_path):
    write_idx_set(tmp_path / "fashion-mnist")
    data = FashionMNIST(data_dir=str(tmp_path), **image_settings())
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_files_are_read_from_their_folder(data):
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 90, "test": 30, "valid": 30}
    assert data.spec["image_size"] == [28, 28]


def test_classes_are_in_the_published_order(data):
    assert data.class_names[0] == "T-shirt/top"
    assert data.class_names[7] == "Sneaker"
    assert len(data.class_names) == 10
