import errno
import hashlib
import os
import shutil
import threading

import numpy as np
import pytest

from src.core import checksums
from src.datamodules import cache as caches
from src.datamodules.cache import CacheFolder, cache_key, digest, fingerprint, fingerprint_all


def test_a_digest_depends_on_every_byte_of_all_arrays():
    images, rows = np.zeros((3, 2), np.uint8), np.arange(4)
    changed = images.copy()
    changed[2, 1] = 1
    assert len({digest(images, rows), digest(changed, rows), digest(images, rows[::-1]), digest(images)}) == 4
    assert digest(np.asfortranarray(images), rows) == digest(images, rows)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    return tmp_path / "a.csv"


def test_a_fingerprint_has_name_and_content(file):
    assert fingerprint(file, "rows") == f"rows\0{hashlib.sha256(b'x').hexdigest()}"
    os.utime(file, ns=(0, 7))
    assert fingerprint(file, "rows") == f"rows\0{hashlib.sha256(b'x').hexdigest()}"


def test_another_file_of_the_same_name_size_and_time_has_another_fingerprint(file):
    os.utime(file, ns=(0, 7))
    before = fingerprint_all([file])
    file.write_text("y")
    os.utime(file, ns=(0, 7))
    assert fingerprint_all([file]) != before


def test_all_files_have_a_part_in_the_fingerprint(file, tmp_path):
    (tmp_path / "b.csv").write_text("y")
    assert fingerprint_all([file, tmp_path / "b.csv"]).startswith(fingerprint_all([file]) + "\0b.csv\0")


def test_a_key_depends_on_each_part_and_its_bounds():
    keys = [cache_key(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["ab", "d"], ["ab"])]
    assert len(set(keys)) == 5
    assert {len(key) for key in keys} == {16}
    assert cache_key(iter(["ab", "c"])) == keys[0]


def test_a_folder_is_built_once(tmp_path):
    cache = CacheFolder(tmp_path / "cache" / "set")
    cache.build(lambda folder: (folder / "spec.json").write_text('{"é": 1}', encoding="utf-8"))
    cache.build(lambda folder: 1 / 0)
    assert cache.read_json("spec.json") == {"é": 1}
    assert cache.file("spec.json") == tmp_path / "cache" / "set" / "spec.json"


def fill(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "rows.npy").write_bytes(b"0123456789")


def flip(path):
    path.write_bytes(path.read_bytes().replace(b"5", b"4"))


@pytest.fixture
def in_another_process(tmp_path, monkeypatch):
    """A function that asks for the folder as the next process does, which has not compared its checksums."""

    def ask(write=fill):
        monkeypatch.setattr(caches, "_checked", set())
        CacheFolder(tmp_path / "set").build(write)
        return tmp_path / "set" / "deep" / "rows.npy"

    return ask


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip, "the checksum of deep/rows.npy does not match"),
        (lambda path: os.truncate(path, 9), "the checksum of deep/rows.npy does not match"),
        (lambda path: path.write_bytes(b""), "the checksum of deep/rows.npy does not match"),
        (lambda path: path.unlink(), "rows.npy is missing"),
        (lambda path: (path.parents[1] / "checksums.json").unlink(), "checksums.json is missing"),
        (lambda path: (path.parents[1] / "checksums.json").write_bytes(b""), "it cannot be read (Expecting value: "),
        (lambda path: (path.parents[1] / "checksums.json").write_text("7"), "it cannot be read ('int' object has no "),
    ],
)
def test_a_damaged_folder_is_made_anew_and_told(damage, why, in_another_process, tmp_path, capsys):
    rows = in_another_process()
    damage(rows)
    in_another_process()
    assert rows.read_bytes() == b"0123456789"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"note: {tmp_path}/set is made anew: {why}")


def test_a_flip_in_any_block_is_found(in_another_process, monkeypatch, capsys):
    monkeypatch.setattr(checksums, "BLOCK", 3)
    flip(in_another_process())
    assert in_another_process().read_bytes() == b"0123456789"


def test_a_whole_folder_stays_and_is_compared_once_in_a_process(in_another_process, tmp_path, monkeypatch):
    rows = in_another_process()
    in_another_process(lambda folder: 1 / 0)
    flip(rows)
    CacheFolder(tmp_path / "set").build(lambda folder: 1 / 0)
    assert rows.read_bytes() == b"0123446789"


def test_a_folder_that_was_removed_meanwhile_is_made_anew(in_another_process, tmp_path):
    rows = in_another_process()
    shutil.rmtree(tmp_path / "set")
    CacheFolder(tmp_path / "set").build(fill)
    assert rows.read_bytes() == b"0123456789"


def test_a_folder_that_was_mapped_stays_readable_while_it_is_made_anew(in_another_process):
    mapped = np.memmap(in_another_process(), np.uint8, "r")
    flip_in_place = np.memmap(in_another_process(), np.uint8, "r+")
    flip_in_place[5] = ord("4")
    in_another_process()
    assert mapped.tobytes() == b"0123446789"


@pytest.mark.parametrize(("error", "words"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only")])
def test_a_disk_that_cannot_be_written_is_told(error, words, tmp_path):
    def fail(folder):
        raise OSError(error, os.strerror(error), None if error == errno.ENOSPC else folder / "rows.npy")

    with pytest.raises(OSError, match=rf"cannot write {tmp_path}/set: {words}.*; choose another cache_dir") as raised:
        CacheFolder(tmp_path / "set").build(fail)
    assert raised.value.errno is None
    assert [path.name for path in tmp_path.iterdir()] == ["set.lock"]


def test_a_source_that_cannot_be_read_is_not_the_caches_fault(tmp_path):
    def fail(folder):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/rows.csv")

    with pytest.raises(PermissionError, match=r"rows\.csv"):
        CacheFolder(tmp_path / "set").build(fail)


def test_a_file_in_place_of_the_cache_dir_is_told(tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(OSError, match=r"cannot write .*/cache/tables/set: .*; choose another cache_dir"):
        CacheFolder(tmp_path / "cache" / "tables" / "set").build(fill)


def test_an_interrupted_build_leaves_nothing_and_starts_again(tmp_path):
    cache = CacheFolder(tmp_path / "set")

    def interrupt(folder):
        (folder / "spec.json").write_text("{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.build(interrupt)
    with pytest.raises(FileNotFoundError, match="set does not exist: call prepare_data before setup"):
        cache.file("spec.json")
    cache.build(lambda folder: (folder / "spec.json").write_text("{}"))
    assert cache.read_json("spec.json") == {}


def test_of_two_that_ask_at_once_one_builds_and_the_other_waits(tmp_path):
    asks, others = threading.Event(), []

    def ask():
        asks.set()
        CacheFolder(tmp_path / "set").build(lambda folder: others.append("built"))

    other = threading.Thread(target=ask)

    def write(folder):
        other.start()
        assert asks.wait(60)
        (folder / "spec.json").write_text("{}")

    CacheFolder(tmp_path / "set").build(write)
    other.join()
    assert others == []


def test_contents_are_those_of_the_files_and_not_of_what_describes_them(tmp_path):
    def contents(name, number):
        def write(path):
            (path / "rows.npy").write_bytes(bytes([number, 0]))
            (path / "note.json").write_text(str(number + len(name)))

        folder = CacheFolder(tmp_path / name)
        folder.build(write)
        return folder.contents()

    assert contents("a", 1) == contents("another", 1) != contents("b", 2)
    assert list(contents("a", 1)) == ["rows.npy"]
