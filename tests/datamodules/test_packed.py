import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from src.datamodules import packed
from src.datamodules.images.cifar_files import read_members
from src.datamodules.images.idx import read_idx
from src.datamodules.packed import open_packed
from src.datamodules.tables.files import read_chunks, read_table
from src.datamodules.text.find import find_texts
from src.datamodules.text.source import TextFile

ROW = b"a,b\n1,2\n"


@pytest.fixture(autouse=True)
def little(monkeypatch):
    """Files may unpack to 100 kB and a hundred times their size."""
    monkeypatch.setattr(packed, "SPARE", 100_000)


def write(path, content):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("../../a.csv", content)
    else:
        {".gz": gzip, ".xz": lzma}[path.suffix].open(path, "wb").write(content)
    return path


@pytest.mark.parametrize("suffix", ["gz", "xz", "zip"])
def test_a_table_unpacks_without_leaving_its_file(tmp_path, suffix):
    path = write(tmp_path / f"a.csv.{suffix}", ROW)
    assert read_table([path]).to_numpy().tolist() == [[1, 2]]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["gz", "xz", "zip"])
def test_a_table_that_unpacks_to_too_much_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"a.csv.{suffix}", ROW * 1_000_000)
    expected = rf"a.csv.{suffix} unpacks to more than 100 times its size; if you know the file, unpack it yourself"
    with pytest.raises(ValueError, match=expected):
        read_table([path])
    with pytest.raises(ValueError, match=expected):
        list(read_chunks(path, 1000))


@pytest.mark.parametrize("suffix", ["gz", "xz", "zip"])
def test_a_text_that_unpacks_to_too_much_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", b"word " * 1_000_000)
    file = TextFile(path, "../../a.csv" if suffix == "zip" else None)
    with pytest.raises(ValueError, match=r"unpacks to more than 100 times its size"):
        sum(map(len, file.blocks()))


def test_images_that_unpack_to_too_much_are_refused(tmp_path):
    path = write(tmp_path / "a.gz", b"\0" * 9_000_000)
    with pytest.raises(ValueError, match=r"unpacks to more than 100 times its size"):
        read_idx(path, dimensions=3)


def test_an_encrypted_member_is_told(tmp_path):
    path = write(tmp_path / "a.zip", ROW)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.zip cannot be unpacked here: .*encrypted"):
        open_packed(path, member="../../a.csv")


def test_a_damaged_archive_of_texts_is_told(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"a.zip is damaged"):
        find_texts(tmp_path, "*.txt")


def test_of_a_tar_only_plain_files_of_their_size_are_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"/x/../link{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("/absolute/../batch")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    assert read_members(tmp_path / "a.tar.gz", ["batch"]) == {"batch": b"abc"}
    with pytest.raises(ValueError, match=r"a.tar.gz lacks link2"):
        read_members(tmp_path / "a.tar.gz", ["link2"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_tar_whose_member_is_too_large_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("batch")
        member.size = 1 << 27
        with open("/dev/zero", "rb") as zeros:
            archive.addfile(member, zeros)
    with pytest.raises(ValueError, match=r"a.tar.gz holds a batch of 134,217,728 bytes, which CIFAR-10 has not"):
        read_members(tmp_path / "a.tar.gz", ["batch"])
