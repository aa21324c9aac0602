import gzip
import lzma
import zipfile

import pytest

from src.datamodules.text import source as text_source
from src.datamodules.text.find import find_texts, passed_over
from src.datamodules.text.source import TextFile, TextSource

TEXT = "one two\n\nthrée four\nfive\n"


@pytest.fixture
def tiny_pieces(monkeypatch):
    """Blocks of 4 bytes; lines longer than 12 are cut."""
    monkeypatch.setattr(text_source, "BLOCK", 4)
    monkeypatch.setattr(text_source, "MAX_LINE", 12)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TextFile(path)


def read(source):
    return "".join(piece.text for piece in source.pieces())


def contents(source):
    return [piece.content.decode() for piece in source.pieces()]


def write_forms(folder):
    """The same text in each form: name -> file."""
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("deep/text.txt", TEXT)
    return {
        "plain": write(folder / "a.txt", TEXT),
        "gz": write(folder / "a.txt.gz", gzip.compress(TEXT.encode())),
        "xz": write(folder / "a.txt.xz", lzma.compress(TEXT.encode())),
        "zip": TextFile(folder / "b.zip", "deep/text.txt"),
    }


@pytest.mark.parametrize("form", ["plain", "gz", "xz", "zip"])
def test_every_form_of_a_file_gives_the_same_text(tmp_path, form):
    file = write_forms(tmp_path)[form]
    assert read(TextSource([file])) == TEXT
    assert file.size() == len(TEXT.encode())


def test_pieces_end_with_lines(tmp_path, tiny_pieces):
    source = TextSource([write(tmp_path / "a", TEXT)])
    assert contents(source) == ["one two\n", "\n", "thrée four\n", "five\n"]
    assert [piece.offset for piece in source.pieces()] == [0, 8, 9, 21]


def test_a_last_line_without_end_gets_one_so_that_files_stay_apart(tmp_path):
    files = [write(tmp_path / "a", "one"), write(tmp_path / "b", "two\n"), write(tmp_path / "c", "")]
    assert read(TextSource(files)) == "one\ntwo\n"


def test_a_line_too_long_for_memory_is_cut_at_a_space_or_between_characters(tmp_path, tiny_pieces):
    spaced, dense = "abc def ghi jkl mno pqr", "é" * 20
    pieces = contents(TextSource([write(tmp_path / "a", spaced), write(tmp_path / "b", dense)]))
    assert "".join(pieces) == f"{spaced}\n{dense}\n"
    assert max(map(len, pieces)) <= 16
    assert pieces[0] == "abc def ghi"


def test_exact_text_is_left_as_it_is(tmp_path, tiny_pieces):
    assert read(TextSource([write(tmp_path / "a", b"one\ntwo")], exact=True)) == "one\ntwo"


def test_a_mark_at_the_beginning_is_no_text(tmp_path):
    assert read(TextSource([write(tmp_path / "a", b"\xef\xbb\xbfone\n")])) == "one\n"


def test_each_cell_of_a_column_is_a_line(tmp_path):
    file = write(tmp_path / "a.csv", 'name,text\na,"one, two"\nb,\nc,three\u2028four\nd,"five\nsix"\n')
    assert read(TextSource([TextFile(file.path, column="text")])) == "one, two\n\nthree\u2028four\nfive\nsix\n"


@pytest.mark.parametrize("quote", ["", '"'])
def test_cells_of_any_length_are_one_line_each(tmp_path, quote, monkeypatch):
    monkeypatch.setattr(text_source, "MAX_LINE", 100_000)
    long = "word " * 40_000 + "end"
    file = write(tmp_path / "a.csv", f"id;text\n1;{quote}{long}{quote}\n2;short\n")
    assert read(TextSource([TextFile(file.path, column="text")])) == f"{long}\nshort\n"


def test_a_column_that_is_not_there_is_refused(tmp_path):
    file = write(tmp_path / "a.csv", "name,text\n")
    with pytest.raises(ValueError, match=r"a\.csv has no column review, it has name, text"):
        read(TextSource([TextFile(file.path, column="review")]))


def test_plain_files_come_first_then_compressed_ones_then_zips(tmp_path):
    forms = write_forms(tmp_path)
    assert find_texts(tmp_path, "a.txt") == [forms["plain"]]
    forms["plain"].path.unlink()
    assert find_texts(tmp_path, "a.txt") == [forms["gz"]]
    assert find_texts(tmp_path, "t*.txt") == [forms["zip"]]
    assert find_texts(tmp_path, "other") == []


def test_what_macos_writes_beside_files_is_not_text(tmp_path):
    file = write(tmp_path / "a.txt", "a\n")
    for name in ("._a.txt", "__MACOSX/._a.txt", "__MACOSX/b.txt", "._c.txt.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert find_texts(tmp_path, "*.txt") == find_texts(tmp_path, "**/*.txt") == [file]
    assert find_texts(tmp_path, "._*") == find_texts(tmp_path, "c.txt") == []
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        for name in ("set/d.txt", "__MACOSX/set/._d.txt", "__MACOSX/d.txt", "set/._d.txt"):
            archive.writestr(name, "d\n")
    assert (
        find_texts(tmp_path, "d.txt") == find_texts(tmp_path, "*d.txt") == [TextFile(tmp_path / "mac.zip", "set/d.txt")]
    )


def test_a_packed_file_beside_plain_ones_is_passed_over_unless_it_is_another_form_of_one(tmp_path):
    files = {name: write(tmp_path / name, "") for name in ("a.txt", "a.txt.gz", "b.txt.gz", "c.txt.xz")}
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("a.txt", "d.txt"):
            archive.writestr(name, "")
    member = TextFile(tmp_path / "more.zip", "d.txt")
    assert passed_over(tmp_path, "*.txt") == [files["b.txt.gz"], files["c.txt.xz"], member]
    assert passed_over(tmp_path, "b.txt") == passed_over(tmp_path, "e.txt") == []


def test_a_pattern_finds_files_in_the_order_of_their_names(tmp_path):
    (tmp_path / "deep").mkdir()
    files = [write(tmp_path / name, "") for name in ("b.txt", "a.txt", "deep/c.txt")]
    assert find_texts(tmp_path, "*.txt") == [files[1], files[0]]
    assert find_texts(tmp_path, "**/*.txt") == [files[1], files[0], files[2]]


def test_text_that_is_not_utf8_is_refused_by_file_and_byte(tmp_path, tiny_pieces):
    source = TextSource(
        [write(tmp_path / "good", "fine\n"), write(tmp_path / "latin", "one\ntwo\ncaf\xe9\n".encode("latin1"))]
    )
    with pytest.raises(ValueError, match=r"latin is not UTF-8: byte 11 is 0xe9; convert it"):
        read(source)


def test_a_damaged_file_is_named(tmp_path):
    for name, damaged in (("a.xz", lzma.compress(b"one" * 99)[:-20]), ("a.gz", gzip.compress(b"one" * 99)[:-9])):
        with pytest.raises(ValueError, match=rf"{name} is damaged: .*; fetch it again"):
            read(TextSource([write(tmp_path / name, damaged)]))


def test_a_fingerprint_changes_with_name_content_and_part(tmp_path):
    file = write(tmp_path / "a", TEXT)
    known = {
        TextSource([file]).fingerprint(),
        TextSource([file], 0, 0.5).fingerprint(),
        TextSource([file], exact=True).fingerprint(),
    }
    write(tmp_path / "a", TEXT + "more\n")
    known |= {TextSource([file]).fingerprint(), TextSource([write(tmp_path / "b", TEXT)]).fingerprint()}
    assert len(known) == 5


def test_a_text_with_a_hole_is_another_text(tmp_path):
    file = write(tmp_path / "a", TEXT)
    assert TextSource([file]).fingerprint() != TextSource([file], hole=(0.2, 0.4)).fingerprint()
