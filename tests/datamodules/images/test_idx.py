import gzip

import numpy as np
import pytest

from src.datamodules.images.idx import IdxImages, read_idx
from tests.support.make_data import image_settings, write_idx, write_idx_set


class Letters(IdxImages):
    class_names = ["a", "b", "c"]
    folder = "letters"
    address = "http://127.0.0.1:9/letters/"
    checksums = dict.fromkeys(
        (
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
        ),
        "",
    )


@pytest.fixture
def letters(tmp_path):
    write_idx_set(tmp_path / "letters", train_rows=24, test_rows=9, size=5, num_classes=3)
    return Letters(data_dir=str(tmp_path), **image_settings())


def test_an_idx_file_by_hand(tmp_path):
    header = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])
    (tmp_path / "a.gz").write_bytes(gzip.compress(header + bytes([1, 2, 3, 4, 5, 6])))
    assert read_idx(tmp_path / "a.gz", dimensions=2).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_what_is_read_may_be_written_to(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(5, dtype=np.uint8))
    assert read_idx(tmp_path / "a.gz", dimensions=1).flags.writeable


def test_a_set_has_grey_images_with_their_labels(letters):
    letters.prepare_data()
    letters.setup("fit")
    assert letters.spec["in_chans"] == 1
    assert letters.spec["image_size"] == [5, 5]
    assert {name: len(split) for name, split in letters.splits.items()} == {"train": 18, "test": 9, "valid": 6}
    assert letters.splits["test"].labels.tolist() == [0, 1, 2] * 3


def test_a_file_cut_short_is_told(tmp_path):
    write_idx(tmp_path / "a.gz", np.zeros(500, np.uint8))
    content = (tmp_path / "a.gz").read_bytes()
    (tmp_path / "a.gz").write_bytes(content[:-9])
    with pytest.raises(ValueError, match=r"a.gz is damaged .*; delete it"):
        read_idx(tmp_path / "a.gz", dimensions=1)


def test_what_is_no_gzip_is_told(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"a.gz is damaged \(Not a gzipped file"):
        read_idx(tmp_path / "a.gz", dimensions=1)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08\x01", b"\0\0\x08\x01\0\0\0\x03ab", b"\0\0\x08\x01\0\0\0\x03abcd", b"\0\0\x0d\x01\0\0\0\x03abc"],
    ids=["empty", "no sizes", "too short", "too long", "floats"],
)
def test_what_is_no_idx_file_of_bytes_is_told(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="must be an idx file of bytes in 1 dimensions, got"):
        read_idx(tmp_path / "a.gz", dimensions=1)


def test_other_dimensions_are_told(tmp_path):
    write_idx(tmp_path / "a.gz", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="in 3 dimensions, got 18 bytes that begin with 00 00 08 02"):
        read_idx(tmp_path / "a.gz", dimensions=3)


def test_fewer_labels_than_images_are_told(letters, tmp_path):
    write_idx(tmp_path / "letters" / "train-labels-idx1-ubyte.gz", np.zeros(23, np.uint8))
    with pytest.raises(ValueError, match="got 24 images and 23 labels up to 0"):
        letters.setup("fit")


def test_a_label_beyond_the_classes_is_told(letters, tmp_path):
    write_idx(tmp_path / "letters" / "t10k-labels-idx1-ubyte.gz", np.full(9, 3, np.uint8))
    with pytest.raises(ValueError, match="must hold a label below 3 for each image, got 9 images and 9 labels up to 3"):
        letters.setup("fit")


def test_a_missing_file_is_asked_for_at_its_address(letters, tmp_path):
    (tmp_path / "letters" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks t10k-labels-idx1-ubyte.gz, (.|\n)* from http://127.0.0.1:9/letters/"
    ):
        letters.prepare_data()
