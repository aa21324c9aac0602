import os
import stat
from pathlib import Path

import pytest

from src.core.files import append_text, make_whole, read_json, remove_unfinished, staged, write_text
from tests.support.disks import files_limited_to


def test_a_file_appears_whole(tmp_path):
    with staged(tmp_path / "deep" / "a.csv") as file:
        file.write_text("1,2")
        assert not (tmp_path / "deep" / "a.csv").exists()
    assert (tmp_path / "deep" / "a.csv").read_text() == "1,2"
    assert os.listdir(tmp_path / "deep") == ["a.csv"]


def test_a_writer_that_fails_leaves_the_older_file_and_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text("old")

    def fail():
        with staged(tmp_path / "a.csv") as file:
            file.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_two_writers_of_one_stem_never_share_a_file(tmp_path):
    with (
        staged(tmp_path / "metrics.csv") as one,
        staged(tmp_path / "metrics.json") as two,
        staged(tmp_path / "metrics.csv") as three,
    ):
        assert len({one, two, three}) == 3
        for file in (one, two, three):
            file.write_text(file.name)
    assert (tmp_path / "metrics.json").read_text() == two.name


def test_the_staged_file_keeps_its_ending_and_is_hidden(tmp_path):
    with staged(tmp_path / "a.parquet") as file:
        assert file.suffix == ".parquet"
        assert file.name.startswith(".a.parquet.")


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    with staged(tmp_path / "a[1].csv") as left, staged(tmp_path / "b.csv") as other:
        kept = [tmp_path / "a[1].csv", other, tmp_path / ".a[1].csv.lock"]
        for path in kept:
            path.touch()
        remove_unfinished(tmp_path / "a[1].csv")
        assert not left.exists()
        assert all(path.exists() for path in kept)
        left.touch()


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o022, 0o644), (0o027, 0o640)])
def test_a_file_is_readable_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "grün")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "grün"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("sync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda one, two: (order.append("replace"), replace(one, two)))
    write_text(tmp_path / "a.txt", "1")
    assert order == ["sync", "replace", "sync"]


@pytest.fixture
def events(monkeypatch):
    """The names of what is synced and renamed, in order."""
    order, sync, replace = [], os.fsync, os.replace

    def sync_and_tell(descriptor):
        order.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def replace_and_tell(one, two):
        order.append(f"rename to {Path(two).name}")
        replace(one, two)

    monkeypatch.setattr(os, "fsync", sync_and_tell)
    monkeypatch.setattr(os, "replace", replace_and_tell)
    return order


def test_the_folders_that_a_file_needs_are_on_the_disk(tmp_path, events):
    write_text(tmp_path / "deep" / "deeper" / "a.txt", "1")
    assert events[:2] == [f"sync {tmp_path.name}", "sync deep"]
    assert events[-2:] == ["rename to a.txt", "sync deeper"]


def test_a_folder_has_its_name_once_all_files_are_on_the_disk(tmp_path, events):
    def write(folder):
        (folder / "train").mkdir()
        (folder / "train" / "rows.npy").touch()

    make_whole(tmp_path / "cache", write)
    assert events == ["sync train", "sync rows.npy", "sync cache.part", "rename to cache", f"sync {tmp_path.name}"]


def test_a_folder_is_made_once_and_whole(tmp_path):
    def write(folder):
        calls.append(folder)
        (folder / "a").touch()

    calls = []
    for _ in range(2):
        make_whole(tmp_path / "deep" / "deeper" / "cache", write)
    assert len(calls) == 1
    assert (tmp_path / "deep" / "deeper" / "cache" / "a").is_file()


def test_a_folder_that_was_begun_is_begun_anew(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make_whole(tmp_path / "cache", fail)
    assert not (tmp_path / "cache").exists()
    make_whole(tmp_path / "cache", lambda folder: (folder / "a").touch())
    assert os.listdir(tmp_path / "cache") == ["a"]


def test_text_is_added_at_the_end_and_the_folder_is_made(tmp_path):
    for text in ("a\r\n", "ü\n"):
        append_text(tmp_path / "deep" / "a.txt", text)
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "a\r\nü\n".encode()


def test_text_for_which_there_is_no_space_is_not_half_there(tmp_path):
    append_text(tmp_path / "a.txt", "12")
    with files_limited_to(5), pytest.raises(OSError, match="File too large"):
        append_text(tmp_path / "a.txt", "34567")
    assert (tmp_path / "a.txt").read_text() == "12"


@pytest.mark.parametrize("content", [b"", b"{", b"\0\0", b"\xff", b"[1]", b"7"])
def test_a_damaged_json_file_is_told_and_empty(tmp_path, content, capsys):
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json", dict) is None
    assert capsys.readouterr().err == f"note: {tmp_path}/a.json is damaged and taken as empty\n"


def test_a_json_file_is_read_and_a_missing_one_is_none(tmp_path, capsys):
    (tmp_path / "a.json").write_text('{"é": 1}', encoding="utf-8")
    assert read_json(tmp_path / "a.json", dict) == {"é": 1}
    assert read_json(tmp_path / "b.json", dict) is None
    assert capsys.readouterr().err == ""
