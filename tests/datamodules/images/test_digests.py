import os

import pytest

from src.datamodules.images import digests
from src.datamodules.images.digests import file_digests


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files, which are at once old enough to be remembered."""
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**12))
    for name in "abc":
        (tmp_path / name).write_text(f"content of {name}")
    return [str(tmp_path / name) for name in "abc"]


def reads(monkeypatch):
    read = []
    original = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda path: read.append(os.path.basename(path)) or original(path))
    return read


def test_a_digest_tells_the_content_and_nothing_else(files, tmp_path):
    (tmp_path / "d").write_text("content of a")
    a, b, c, d = file_digests([*files, str(tmp_path / "d")], tmp_path / "memo")
    assert a == d
    assert len({a, b, c}) == 3


def test_a_file_is_read_once(files, tmp_path, monkeypatch):
    read = reads(monkeypatch)
    first = file_digests(files, tmp_path / "memo")
    assert file_digests(files, tmp_path / "memo") == first
    assert sorted(read) == ["a", "b", "c"]


def test_another_content_of_the_same_size_and_date_is_seen(files, tmp_path, monkeypatch):
    first = file_digests(files, tmp_path / "memo")
    status = os.stat(files[1])
    with open(files[1], "w") as file:
        file.write("CONTENT of b")
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    read = reads(monkeypatch)
    second = file_digests(files, tmp_path / "memo")
    assert [one == other for one, other in zip(first, second, strict=True)] == [True, False, True]
    assert read == ["b"]


def test_a_file_that_has_just_been_changed_is_read_again(files, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED_NS", 10**15)
    file_digests(files, tmp_path / "memo")
    assert not (tmp_path / "memo").exists()


def test_what_cannot_be_read_has_no_digest(files, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / name) for name in ("folder", "link", "pipe", "a")]
    assert [bool(digest) for digest in file_digests(paths, tmp_path / "memo")] == [False, False, False, True]


def test_a_memo_that_cannot_be_used_only_costs_time(files, tmp_path):
    first = file_digests(files, tmp_path / "memo")
    (tmp_path / "memo").write_bytes(b"\xff what is this")
    assert file_digests(files, tmp_path / "memo") == first
    assert file_digests(files, tmp_path / "a" / "memo") == first  # a is not a folder


def test_no_files_have_no_digests(tmp_path):
    assert file_digests([], tmp_path / "memo") == []
