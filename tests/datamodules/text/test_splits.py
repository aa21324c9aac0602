import pytest

from src.datamodules.text import source as text_source
from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.splits import split_by_fold, split_by_size

BLOCK = 4  # bytes that are read at once, so that a part begins in any piece


def write(path, content):
    path.write_text(content)
    return TextFile(path)


def read(source):
    return "".join(piece.text for piece in source.pieces())


@pytest.mark.parametrize("piece", [3, 7, 1000])
def test_parts_cover_the_text_once_and_end_with_lines(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(text_source, "BLOCK", piece)
    text = "".join(f"line {number}\n" for number in range(40))
    files = [write(tmp_path / "a", text[:100]), write(tmp_path / "b", text[100:])]
    whole = read(TextSource(files))
    parts = {name: read(source) for name, source in split_by_size(files, 0.1, 0.2, exact=False).items()}
    assert "".join(parts.values()) == whole
    assert all(part.endswith("\n") for part in parts.values())
    assert len(parts["valid"]) == pytest.approx(0.1 * len(text), abs=9)
    assert len(parts["test"]) == pytest.approx(0.2 * len(text), abs=9)


def test_exact_parts_are_cut_at_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(text_source, "BLOCK", BLOCK)
    parts = split_by_size([write(tmp_path / "a", "0123\n56789" * 10)], 0.05, 0.05, exact=True)
    assert [len(read(part)) for part in parts.values()] == [90, 5, 5]
    assert read(parts["valid"]) == "0123\n"


@pytest.mark.parametrize("fractions", [(0, 0.1), (0.1, 0), (0.5, 0.5)])
def test_fractions_that_leave_nothing_are_refused(fractions):
    with pytest.raises(ValueError, match="positive and leave text to train on, got valid_fraction="):
        split_by_size([], *fractions, exact=False)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_folds_test_the_whole_text_once_and_train_on_the_rest(tmp_path, monkeypatch, exact, fraction):
    monkeypatch.setattr(text_source, "BLOCK", BLOCK)
    lines = [f"{number}{'x' * (number % 5)}\n" for number in range(60)]
    files = [write(tmp_path / "a", "".join(lines[:25])), write(tmp_path / "b", "".join(lines[25:]))]
    tested = ""
    for fold in range(4):
        parts = split_by_fold(files, fraction, fold=fold, num_folds=4, exact=exact)
        texts = {name: read(source) for name, source in parts.items()}
        assert list(texts) == (["train", "valid", "test"] if fraction else ["train", "test"])
        assert sorted("".join(texts.values())) == sorted("".join(lines))
        tested += texts["test"]
    assert tested == "".join(lines)


def test_what_follows_the_tested_text_is_validated_and_the_rest_begins_anew(tmp_path):
    file = write(tmp_path / "a", "0123456789")
    parts = split_by_fold([file], 0.25, fold=1, num_folds=5, exact=True)
    assert {name: read(source) for name, source in parts.items()} == {"train": "016789", "valid": "45", "test": "23"}
    assert [(piece.content, piece.is_start) for piece in parts["train"].pieces()] == [(b"01", True), (b"6789", True)]
    last = split_by_fold([file], 0.25, fold=4, num_folds=5, exact=True)
    assert {name: read(source) for name, source in last.items()} == {"train": "234567", "valid": "01", "test": "89"}
