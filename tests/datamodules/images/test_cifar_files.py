import io
import os
import pickle

import numpy as np
import pytest

from src.datamodules.images.cifar_files import find_official, parse_binary, parse_pickle, read_members, read_official
from tests.support.make_data import cifar_images, python2_pickle, write_cifar_binary, write_cifar_python

WRITERS = pytest.mark.parametrize("write", [write_cifar_binary, write_cifar_python])
PLANES = np.arange(3 * 3072, dtype=np.uint8).reshape(3, 3072)


@pytest.mark.parametrize("archive", [False, True])
@WRITERS
def test_images_and_labels_come_back_as_they_were_written(tmp_path, write, archive):
    write(tmp_path, train_rows=20, test_rows=3, archive=archive)
    splits = read_official(find_official(tmp_path))
    for split, rows, seed in (("train", 20, 0), ("test", 3, 1)):
        images, labels = cifar_images(rows, seed)
        assert np.array_equal(splits[split].images, images)
        assert splits[split].labels.tolist() == labels.tolist()


def test_a_binary_record_by_hand():
    record = bytes([7]) + bytes([1] * 1024) + bytes([2] * 1024) + bytes([3] * 1024)
    planes, labels = parse_binary(record, "a.bin")
    assert labels.tolist() == [7]
    assert planes.reshape(3, 32, 32)[:, 5, 6].tolist() == [1, 2, 3]


def test_the_pickle_that_the_tests_write_is_a_pickle():
    class Lenient(pickle.Unpickler):
        def find_class(self, module, name):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)

    batch = Lenient(io.BytesIO(python2_pickle(PLANES, [4, 0, 9])), encoding="bytes").load()
    assert np.array_equal(batch[b"data"], PLANES)
    assert batch[b"labels"] == [4, 0, 9]


def test_a_pickle_as_python_2_wrote_it_is_read():
    planes, labels = parse_pickle(python2_pickle(PLANES, [4, 0, 9]), "data_batch_1")
    assert np.array_equal(planes, PLANES)
    assert labels.tolist() == [4, 0, 9]


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("key", [b"data", b"labels", b"batch_label"])
def test_a_pickle_that_calls_functions_is_refused_and_calls_none(tmp_path, key):
    batch = {b"data": PLANES, b"labels": [0, 1, 2], key: Harmful(tmp_path / "made")}
    with pytest.raises(ValueError, match=r"posix.mkdir is not allowed"):
        parse_pickle(pickle.dumps(batch), "data_batch_1")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": PLANES}),
        python2_pickle(PLANES, [1])[:-40],
    ],
    ids=["empty", "text", "list", "no labels", "cut"],
)
def test_what_is_no_batch_is_told(content):
    with pytest.raises(ValueError, match="data_batch_1 must be a pickled dict of data and labels"):
        parse_pickle(content, "data_batch_1")


def test_a_pickle_with_fewer_labels_is_told():
    with pytest.raises(ValueError, match="must hold 3072 bytes for each of 2 labels"):
        parse_pickle(python2_pickle(PLANES, [1, 2]), "data_batch_1")


def test_a_label_above_9_is_told():
    with pytest.raises(ValueError, match="must hold labels from 0 to 9, got 1 to 10"):
        parse_pickle(python2_pickle(PLANES, [1, 10, 2]), "data_batch_1")


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_a_binary_file_of_another_size_is_told(size):
    with pytest.raises(ValueError, match=f"must hold records of 3073 bytes, got {size:,} bytes"):
        parse_binary(bytes(size), "a.bin")


@WRITERS
def test_a_missing_batch_is_told(tmp_path, write):
    write(tmp_path, train_rows=20, test_rows=3)
    folder = find_official(tmp_path)
    next(folder.glob("data_batch_3*")).unlink()
    with pytest.raises(ValueError, match="lacks data_batch_3"):
        read_official(folder)


def test_an_archive_cut_short_is_told(tmp_path):
    write_cifar_binary(tmp_path, train_rows=20, test_rows=3, archive=True)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"tar.gz is damaged .*; delete it"):
        read_official(path)


def test_other_files_of_an_archive_are_left_alone(tmp_path):
    write_cifar_binary(tmp_path, train_rows=20, test_rows=3, archive=True)
    found = read_members(tmp_path / "cifar-10-binary.tar.gz", ["test_batch.bin"])
    assert list(found) == ["test_batch.bin"]


def test_the_binary_form_comes_first(tmp_path):
    write_cifar_python(tmp_path, train_rows=5, test_rows=1)
    write_cifar_binary(tmp_path, train_rows=5, test_rows=1)
    assert find_official(tmp_path).name == "cifar-10-batches-bin"


def test_an_empty_folder_holds_no_form(tmp_path):
    assert find_official(tmp_path) is None
