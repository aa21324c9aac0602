import os
import threading

import pytest

from src.datamodules.cache import CacheFolder, cache_key, fingerprint, fingerprint_all


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    return tmp_path / "a.csv"


def test_a_fingerprint_has_name_size_and_time_of_change(file):
    os.utime(file, ns=(0, 7))
    assert fingerprint(file, "rows") == "rows\0001\0007"


@pytest.mark.parametrize("change", [lambda f: f.write_text("xy"), lambda f: os.utime(f, ns=(0, 7))])
def test_a_changed_file_has_another_fingerprint(file, change):
    before = fingerprint_all([file])
    change(file)
    assert fingerprint_all([file]) != before


def test_all_files_have_a_part_in_the_fingerprint(file, tmp_path):
    (tmp_path / "b.csv").write_text("y")
    assert fingerprint_all([file, tmp_path / "b.csv"]).startswith(fingerprint_all([file]) + "\0b.csv\0001\0")


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
