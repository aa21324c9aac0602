"""torchtext's tokenizer and vocabulary against our own; most of it runs in `make test-torchtext` only."""

import os
import random
from pathlib import Path

import pytest

from src.datamodules.text.find import find_texts
from src.datamodules.text.source import TextSource
from src.datamodules.text.token_streams import TokenStreams
from src.datamodules.text.tokenization import encode, split_words, torchtext
from src.datamodules.text.vocabulary import build_spec
from tests.support.make_data import write_wikitext
from tests.support.programs import checkpoint_of, composed, run_here

TEXT = 'Don\'t <unk> (stop): "A;b" <b"r />\n\n e.g. b, Ünï <br /> B ΟΔΟΣ <eos>?\n = A @-@ b = \n'
LIMITS = {"min_freq": 1, "max_vocab_size": None, "specials": []}


@pytest.fixture
def library():
    try:
        torchtext("data")
    except ValueError as error:
        pytest.skip(str(error).split(":")[0])


def specs(text, tokenizer, **changes):
    """What our own vocabulary finds, and what torchtext's does."""
    return [build_spec(tokenizer, [text], vocab=vocab, **(LIMITS | changes)) for vocab in ("own", "torchtext")]


def streams(cache_dir, sources, tokenizer, vocab):
    made = TokenStreams(
        "set", sources, cache_dir=str(cache_dir), tokenizer=tokenizer, vocabulary={"vocab": vocab, **LIMITS}
    )
    made.build()
    return made.read()


@pytest.mark.usefixtures("library")
def test_words_are_those_of_basic_english():
    assert split_words(TEXT, "torchtext") == split_words(TEXT, "basic_english")
    pieces = ["<br />", "<br", " />", *"\"'.,()!?;: \n\r\t\x1c\u3000", "ΑΣ", "İ", "ß", "<unk>", "a", "B", "7"]
    for seed in range(300):
        text = "".join(random.Random(seed).choices(pieces, k=50))
        assert split_words(text, "torchtext") == split_words(text, "basic_english"), text


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("tokenizer", ["whitespace", "basic_english", "torchtext", "char"])
@pytest.mark.parametrize("changes", [{}, {"min_freq": 2}, {"max_vocab_size": 6}, {"specials": ["<pad>", "b"]}])
def test_the_vocabulary_is_our_own(tokenizer, changes):
    own, theirs = specs(TEXT, tokenizer, **changes)
    assert own == theirs


@pytest.mark.usefixtures("library")
def test_a_saved_spec_needs_no_torchtext(tmp_path, monkeypatch):
    (tmp_path / "train").write_text(TEXT)
    sources = {"train": TextSource(find_texts(tmp_path, "train"))}
    spec, tokens = streams(tmp_path, sources, "torchtext", "torchtext")
    monkeypatch.setattr("src.datamodules.text.tokenization.import_module", None)
    assert encode(TEXT, spec) == tokens["train"].tolist()


@pytest.mark.usefixtures("library")
def test_wikitext2_is_the_same_stream(tmp_path):
    folder = Path(os.environ.get("DATA_DIR", "data"), "wikitext-2")
    files = {split: find_texts(folder, f"wiki.{split}.tokens") for split in ("train", "valid", "test")}
    if not all(files.values()):
        pytest.skip("DATA_DIR has no wikitext-2")
    sources = {split: TextSource(found) for split, found in files.items()}
    for ours, theirs in (("basic_english", "torchtext"), ("whitespace", "whitespace")):
        own_spec, own = streams(tmp_path, sources, ours, "own")
        spec, tokens = streams(tmp_path, sources, theirs, "torchtext")
        assert spec == own_spec
        assert all((tokens[split] == own[split]).all() and len(tokens[split]) == len(own[split]) for split in sources)


@pytest.mark.usefixtures("library")
def test_a_run_with_both_leaves_a_checkpoint_that_needs_no_torchtext(tmp_path):
    write_wikitext(tmp_path / "data" / "wikitext-2")
    places = [f"run_dir={tmp_path}/run", f"data_dir={tmp_path}/data", f"cache_dir={tmp_path}/cache"]
    short = [f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    chosen = ["datamodule.tokenizer=torchtext", "datamodule.vocab=torchtext", "trainer.log_every_n_steps=1"]
    # torch 2.3 fuses optimizers on a GPU only.
    run_here(composed("experiment=wikitext2_small", *places, *short, *chosen, "model.optimizer.fused=false"))
    assert checkpoint_of(tmp_path / "run")["hyper_parameters"]["spec"]["tokenizer"] == {"name": "basic_english"}


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'torchtext'"), OSError("libtorchtext.so")])
def test_where_it_cannot_be_imported_versions_and_ways_out_are_told(monkeypatch, error):
    def import_module(name):
        raise error

    monkeypatch.setattr("src.datamodules.text.tokenization.import_module", import_module)
    monkeypatch.setattr("src.datamodules.text.tokenization.version", {"torchtext": "0.18.0", "torch": "2.13.0"}.get)
    told = r"\(found torch 2.13.0, torchtext 0.18.0\).* works only with torch 2.3.*make test-torchtext.*vocab=own"
    for tokenizer, vocab in (("torchtext", "own"), ("whitespace", "torchtext")):
        with pytest.raises(ValueError, match=told):
            build_spec(tokenizer, ["a"], vocab=vocab, **LIMITS)


def test_an_unknown_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"datamodule\.vocab must be own or torchtext, got spacy"):
        build_spec("whitespace", ["a"], vocab="spacy", **LIMITS)


@pytest.mark.parametrize("tokenizer", ["byte", "bpe"])
def test_only_words_and_characters_are_counted(tokenizer):
    with pytest.raises(ValueError, match=f"vocab=torchtext counts words or characters, .*tokenizer='{tokenizer}'"):
        build_spec(tokenizer, ["a"], vocab="torchtext", **LIMITS)
