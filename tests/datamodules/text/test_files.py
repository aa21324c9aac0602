import urllib.error
import zipfile

import pytest

from src.datamodules.text.files import TextFiles
from tests.support.make_data import text_settings, wikitext_lines, write_wikitext

WIKITEXT = {f"{split}_files": [f"wiki.{split}.tokens"] for split in ("train", "valid", "test")}
PUBLISHED = {"tokenizer": "whitespace", "train": 3203, "valid": 430, "test": 531, "vocab_size": 40}


@pytest.fixture
def make(tmp_path):
    """Makes the set of what lies in tmp_path/data/texts, prepared and set up."""

    def make(**changes):
        settings = {
            "folder": "texts",
            "train_files": ["*.txt"],
            "valid_files": None,
            "test_files": None,
            "valid_fraction": 0.1,
            "test_fraction": 0.1,
            "split": "documents",
            "column": None,
            "address": None,
            "checksums": {},
            "published": None,
            **text_settings(),
            **changes,
        }
        data = TextFiles(data_dir=str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"), **settings)
        data.prepare_data()
        data.setup("fit")
        return data

    return make


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data" / "texts"
    folder.mkdir(parents=True)
    return folder


def zipped(folder):
    write_wikitext(folder)
    with zipfile.ZipFile(folder / "wikitext.zip", "w") as archive:
        for path in folder.glob("*.tokens"):
            archive.write(path, f"wikitext/{path.name}")
            path.unlink()


FORMS = {
    "plain": write_wikitext,
    "gz": lambda folder: write_wikitext(folder, ".gz"),
    "xz": lambda folder: write_wikitext(folder, ".xz"),
    "zip": zipped,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_tokens(make, folder, form):
    FORMS[form](folder)
    data = make(**WIKITEXT)
    for seed, (split, count) in enumerate({"train": 3000, "valid": 400, "test": 500}.items()):
        words = [word for line in wikitext_lines(count, seed) for word in [*line.split(), "<eos>"]]
        assert [data.spec["vocabulary"][number] for number in data.tokens[split]] == words
        assert len(words) - words.count("<eos>") == count


def words_of(data, split):
    return [data.spec["vocabulary"][number] for number in data.tokens[split]]


@pytest.mark.parametrize(("split", "last"), [("end", "b"), ("documents", "a")])
def test_the_end_of_the_text_or_of_each_of_few_files_is_held_out(make, folder, split, last, capsys):
    for name in "ab":
        (folder / f"{name}.txt").write_text("".join(f"{name} {name}\n" for n in range(50)))
    data = make(split=split)
    assert {split: len(tokens) for split, tokens in data.tokens.items()} == {"train": 240, "valid": 30, "test": 30}
    assert words_of(data, "test")[0] == last
    assert words_of(data, "test")[-2] == "b"
    told = "texts: 10% of each of 2 files to validate on and 10% to test on, its end\n"
    assert (told in capsys.readouterr().out) == (split == "documents")


def test_of_many_files_some_are_held_out_by_chance(make, folder, capsys):
    for number in range(30):
        (folder / f"{number:02}.txt").write_text(f"w{number}\n" * 5)
    tests = []
    for seed in (0, 0, 1):
        data = make(seed=seed, min_freq=1)
        held_out = words_of(data, "test")
        assert data.tokens["test"].size == data.tokens["valid"].size == 3 * 10  # a word and <eos>
        tests.append(data.held_out["test"]["rows"] + str(data.spec["vocabulary"]))
        assert held_out.count("<unk>") == 15  # training has none of these files' words
    assert tests[0] == tests[1] != tests[2]
    assert "texts: 3 of 30 files to validate on and 3 to test on, drawn by seed 1\n" in capsys.readouterr().out


def test_a_file_larger_than_the_share_is_trained_on(make, folder):
    for number in range(25):
        (folder / f"{number:02}.txt").write_text(f"w{number}\n" * (5000 if number == 7 else 5))
    assert make(valid_fraction=0.05, test_fraction=0.05).tokens["train"].size > 2 * 5000


def test_rows_of_a_column_are_held_out_by_chance(make, folder, capsys):
    rows = "".join(f"w{number}\n" for number in range(2000))
    (folder / "a.csv").write_text(f"review\n{rows}")
    data = make(train_files=["*.csv"], column="review")
    sizes = {split: len(tokens) // 2 for split, tokens in data.tokens.items()}
    assert sum(sizes.values()) == 2000
    assert sizes["test"] == pytest.approx(200, abs=45)
    assert sizes["valid"] == pytest.approx(200, abs=45)
    numbers = [int(word[1:]) for word in words_of(data, "train") if word.startswith("w")]
    assert numbers == sorted(numbers) != list(range(len(numbers)))
    assert "10% of the rows to validate on and 10% to test on, drawn by seed 0" in capsys.readouterr().out


def test_of_few_rows_the_end_is_held_out(make, folder, capsys):
    (folder / "a.csv").write_text("review\n" + "".join(f"w{number} and more words\n" for number in range(12)))
    data = make(train_files=["*.csv"], column="review")
    assert min(len(tokens) for tokens in data.tokens.values()) > 0
    assert "10% of the text to validate on and 10% to test on, its end" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["one two three four five " * 30, "einszweidreiäöü" * 30], ids=["words", "characters"])
def test_a_text_of_one_line_is_cut(make, folder, text, capsys):
    (folder / "a.txt").write_text(text)
    data = make(tokenizer="char")
    parts = {split: "".join(words_of(data, split)) for split in data.tokens}
    assert "".join(parts.values()).removesuffix("<unk>") == text  # the line end that is added at the end
    assert len(parts["test"]) == pytest.approx(0.1 * len(text), abs=12)
    assert "its end; long lines are cut" in capsys.readouterr().out


def test_utf_16_is_read_by_its_mark(make, folder):
    lines = "".join(f"größe {number}\n" for number in range(99))
    (folder / "a.txt").write_text(lines, encoding="utf-8")
    expected = make()
    (folder / "a.txt").write_text(lines, encoding="utf-16")
    found = make()
    assert found.spec["vocabulary"] == expected.spec["vocabulary"]
    assert [len(tokens) for tokens in found.tokens.values()] == [len(tokens) for tokens in expected.tokens.values()]


def test_utf_16_without_a_mark_is_named(make, folder):
    (folder / "a.txt").write_text("größe\n" * 99, encoding="utf-16le")
    with pytest.raises(ValueError, match=r"not UTF-8: byte 4 is 0xf6; convert it, e.g. iconv -f utf-16le -t utf-8"):
        make()


def test_another_split_is_refused(make, folder):
    with pytest.raises(ValueError, match=r"datamodule.split must be documents or end, got random"):
        make(split="random")


def test_held_out_files_are_not_trained_on(make, folder):
    for name in ("a", "b", "valid", "test"):
        (folder / f"{name}.txt").write_text(f"{name} text\n" * 20)
    data = make(valid_files=["valid.txt"], test_files=["test.txt"])
    assert sorted(data.spec["vocabulary"]) == ["<eos>", "<unk>", "a", "b", "text"]


def test_a_column_of_csv_files_is_text(make, folder):
    rows = "".join(f'{n},"word{n}, more"\n' for n in range(99))
    (folder / "reviews.csv").write_text(f"number,review\n{rows}")
    data = make(train_files=["*.csv"], column="review")
    assert data.spec["vocabulary"][:3] == ["<unk>", "<eos>", "more"]


def test_each_file_is_a_document(make, folder):
    for name in "abcd":
        (folder / f"{name}.txt").write_text(f"{name} one\n{name} two\n" * 5)
    data = make(documents=True)
    words = [data.spec["vocabulary"][number] for number in data.tokens["train"][data.starts["train"]]]
    assert words == ["a", "b", "c", "d"]


def test_each_row_of_a_column_may_be_a_document(make, folder):
    (folder / "reviews.csv").write_text("review\n" + "good film\n" * 60)
    data = make(train_files=["*.csv"], column="review", documents=True, document_start="^")
    assert data.starts["train"].tolist() == list(range(0, len(data.tokens["train"]), 3))


def test_bytes_are_split_exactly(make, folder):
    (folder / "enwik").write_text("é" * 500)
    data = make(train_files=["enwik"], tokenizer="byte", valid_fraction=0.05, test_fraction=0.05)
    assert {split: len(tokens) for split, tokens in data.tokens.items()} == {"train": 900, "valid": 50, "test": 50}


def test_a_set_as_published_says_nothing(make, folder, capsys):
    write_wikitext(folder)
    published = {split: len(tokens) for split, tokens in make(**WIKITEXT).tokens.items()} | {"vocab_size": 40}
    capsys.readouterr()
    make(**WIKITEXT, published={"tokenizer": "whitespace", **published})
    assert capsys.readouterr() == ("", "")


def test_counts_other_than_published_are_told(make, folder, capsys):
    write_wikitext(folder)
    make(**WIKITEXT, published={**PUBLISHED, "train": 9999})
    out = capsys.readouterr().err
    assert "texts is not the published set, and its scores cannot be compared: train 3,1" in out
    assert "(not 9,999)" in out
    make(**WIKITEXT, published={**PUBLISHED, "train": 9999}, tokenizer="char")
    assert "published" not in capsys.readouterr().err


def test_missing_files_are_named_with_their_address(make, folder):
    with pytest.raises(FileNotFoundError, match=r"texts has no enwik8; put it there from http://some\.where/: plain"):
        make(train_files=["enwik8"], address="http://some.where/")


def test_missing_files_that_cannot_be_fetched_are_named(make, folder, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    message = (
        r"lacks a\.zip, .*no route.*\n.*from http://some\.where/\nor put there what they hold: wiki\.train\.tok.*plain"
    )
    with pytest.raises(FileNotFoundError, match=message):
        make(**WIKITEXT, address="http://some.where/", checksums={"a.zip": "0"})


def test_files_that_are_there_are_not_fetched(make, folder, monkeypatch):
    monkeypatch.setattr("src.datamodules.text.files.fetch", None)
    write_wikitext(folder, ".gz")
    make(**WIKITEXT, address="http://some.where/", checksums={"a.zip": "0"})


def test_valid_without_test_files_is_refused(make):
    with pytest.raises(ValueError, match=r"valid_files and test_files go together, .* test_files=None"):
        make(valid_files=["a"])


def test_a_packed_file_beside_plain_ones_is_told(make, folder, capsys):
    (folder / "a.txt").write_text("one two three four\n" * 20)
    (folder / "b.txt.gz").write_bytes(b"")
    make()
    assert "1 packed files are left out, because others of their pattern are not packed so: " in capsys.readouterr().err
