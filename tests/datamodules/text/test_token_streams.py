import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import src.datamodules.text.token_streams as token_streams
from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.token_streams import TokenStreams
from src.datamodules.text.tokenization import decode, encode
from tests.support.disks import files_limited_to

ROOT = Path(__file__).resolve().parents[3]
TEXTS = {"train": "a b a\nc a\n", "valid": "b d\n", "test": "a\n"}


@pytest.fixture
def folder(tmp_path):
    for split, text in TEXTS.items():
        (tmp_path / f"{split}.txt").write_text(text)
    return tmp_path


def streams(folder, tokenizer="whitespace", exact=False, document_start=None, **changes):
    sources = {split: TextSource([TextFile(folder / f"{split}.txt")], exact=exact) for split in TEXTS}
    vocabulary = {"vocab": "own", "min_freq": 1, "max_vocab_size": None, "specials": [], **changes}
    choices = {"tokenizer": tokenizer, "vocabulary": vocabulary, "document_start": document_start}
    return TokenStreams("set", sources, cache_dir=str(folder / "cache"), **choices)


def built(folder, *choices, **changes):
    made = streams(folder, *choices, **changes)
    made.build()
    return made


def test_each_split_becomes_one_stream(folder):
    spec, tokens = built(folder).read()
    assert spec["vocabulary"] == ["<unk>", "<eos>", "a", "b", "c"]
    assert {split: stream.tolist() for split, stream in tokens.items()} == {
        "train": [2, 3, 2, 1, 4, 2, 1],
        "valid": [3, 0, 1],
        "test": [2, 1],
    }


def test_tokens_are_counted_and_so_are_unknown_ones(folder):
    assert built(folder).counts() == {
        "train": {"tokens": 7, "unknown": 0},
        "valid": {"tokens": 3, "unknown": 1},
        "test": {"tokens": 2, "unknown": 0},
    }


def test_the_stream_is_what_encode_gives_for_the_whole_text(folder, monkeypatch):
    monkeypatch.setattr("src.datamodules.text.source.BLOCK", 50)
    text = "".join(f"Line {number}, naïve.\n" for number in range(200))
    (folder / "train.txt").write_text(text)
    for tokenizer in ("whitespace", "basic_english", "char", "byte", "bpe"):
        limit = {"max_vocab_size": 300} if tokenizer == "bpe" else {}
        spec, tokens = built(folder, tokenizer, **limit).read()
        assert tokens["train"].tolist() == encode(text, spec)
        assert tokens["train"].dtype == np.uint16


def test_more_than_65536_tokens_take_four_bytes_each(folder):
    (folder / "train.txt").write_text("".join(f"{number}\n" for number in range(70_000)))
    spec, tokens = built(folder).read()
    assert tokens["train"].dtype == np.uint32
    assert tokens["train"].max() == spec["vocab_size"] - 1 == 70_001
    assert decode(tokens["train"][:4], spec) == "0\n1\n"


def test_bytes_may_be_anything(folder):
    content = bytes(range(256))
    (folder / "train.txt").write_bytes(content)
    _, tokens = built(folder, "byte", exact=True).read()
    assert bytes(tokens["train"].astype(np.uint8)) == content


@pytest.mark.parametrize("tokenizer", ["whitespace", "basic_english", "char", "byte", "bpe"])
def test_the_first_tokens_of_documents_are_known_and_the_tokens_are_the_same(folder, tokenizer, monkeypatch):
    monkeypatch.setattr("src.datamodules.text.source.BLOCK", 50)
    documents = [f"= {number}\nnaïve.\n" for number in range(200)]
    (folder / "train.txt").write_text("".join(documents))
    limit = {"max_vocab_size": 300} if tokenizer == "bpe" else {}
    exact = tokenizer == "byte"
    cut, whole = (built(folder, tokenizer, exact, start, **limit) for start in ("^= ", None))
    spec, tokens = cut.read()
    starts = cut.starts()["train"]
    assert [part.tolist() for part in np.split(tokens["train"], starts[1:])] == [encode(d, spec) for d in documents]
    assert whole.read()[1]["train"].tolist() == tokens["train"].tolist()
    assert cut.counts()["train"]["documents"] == 200
    assert {split: stream.tolist() for split, stream in cut.starts().items() if split != "train"} == {
        "valid": [0],
        "test": [0],
    }


def test_without_documents_there_are_neither_starts_nor_files_of_them(folder):
    made = built(folder)
    assert made.starts() == {}
    assert sorted(path.suffix for path in made.cache.path.iterdir()) == [".bin"] * 3 + [".json"] * 3


def test_the_number_of_documents_is_told(folder, capsys):
    built(folder, document_start="^")
    assert capsys.readouterr().out.endswith("set: train 2, valid 1, test 1 documents\n")


def test_documents_that_are_not_found_are_an_error(folder):
    with pytest.raises(ValueError, match=r"the training text is only one: .*train\.txt; correct datamodule\.docum"):
        built(folder, document_start="^= ")


def test_encoding_is_done_once(folder, monkeypatch):
    first = built(folder)
    monkeypatch.setattr(token_streams, "build_spec", None)
    assert built(folder).cache.path == first.cache.path


def test_everything_that_changes_the_tokens_changes_the_key(folder):
    folders = [streams(folder).cache.path, streams(folder, "char").cache.path, streams(folder, min_freq=2).cache.path]
    folders += [streams(folder, max_vocab_size=4).cache.path, streams(folder, specials=["<pad>"]).cache.path]
    folders += [streams(folder, document_start="^").cache.path, streams(folder, document_start="a").cache.path]
    (folder / "valid.txt").write_text("a\n")
    folders.append(streams(folder).cache.path)
    assert len(set(folders)) == len(folders)


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_encoding_leaves_nothing_and_is_begun_anew(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(TokenStreams, "_encode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            built(folder)
    with pytest.raises(FileNotFoundError, match="call prepare_data before setup"):
        streams(folder).read()
    assert built(folder).read()[1]["test"].tolist() == [2, 1]


def test_a_full_disk_is_told(folder):
    (folder / "train.txt").write_text("a b c " * 999)
    with (
        files_limited_to(1000),
        pytest.raises(OSError, match=r"cannot write .*: File too large; choose another cache_dir"),
    ):
        built(folder)


@pytest.mark.parametrize("split", list(TEXTS))
@pytest.mark.parametrize("tokenizer", ["whitespace", "char", "byte"])
def test_an_empty_text_is_refused(folder, split, tokenizer):
    (folder / f"{split}.txt").write_text("")
    with pytest.raises(ValueError, match=rf"the {split} text is empty: .*{split}\.txt"):
        built(folder, tokenizer)


def test_a_wrong_encoding_is_refused_by_file_and_byte(folder):
    (folder / "valid.txt").write_bytes("a\ncaf\xe9".encode("latin1"))
    with pytest.raises(ValueError, match=r"valid\.txt is not UTF-8: byte 5 is 0xe9; .* iconv -f latin1"):
        built(folder)


def test_memory_does_not_grow_with_the_text(tmp_path):
    command = [sys.executable, "-m", "tests.support.text_memory", tmp_path]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["tokens"] > 4_000_000
    assert found["growth_mb"] < 40
