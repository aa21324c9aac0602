import json

import pytest

from src.datamodules.text.tokenization import TOKENIZERS, decode, encode
from src.datamodules.text.vocabulary import build_spec

OWN = [tokenizer for tokenizer in TOKENIZERS if tokenizer != "torchtext"]  # it has a test of its own
TEXT = "The cat sat .\n\nA café , naïve ;  “quoted” 🙂\nThe end"


def spec_of(tokenizer, text=TEXT, **changes):
    limit = 300 if tokenizer == "bpe" else None
    choices = {"vocab": "own", "min_freq": 1, "max_vocab_size": limit, "specials": [], **changes}
    return build_spec(tokenizer, [text], **choices)


def tokens(text, spec):
    return [spec["vocabulary"][number] for number in encode(text, spec)]


def test_whitespace_splits_words_and_ends_lines():
    spec = spec_of("whitespace")
    assert tokens("The cat\n\n café\u3000. \n", spec) == ["The", "cat", "<eos>", "<eos>", "café", ".", "<eos>"]


def test_basic_english_lowers_and_parts_punctuation():
    text = 'Don\'t (stop): "it\'s" GOOD, no? Yes!\nA;b <br /> e.g. c <b"r />d\n'
    expected = "don ' t ( stop ) it ' s good , no ? yes ! <eos> a b e . g . c d <eos>"
    assert tokens(text, spec_of("basic_english", text)) == expected.split()


def test_characters_are_tokens_and_so_are_line_ends():
    assert tokens("é\n🙂", spec_of("char")) == ["é", "\n", "🙂"]


def test_bytes_are_their_own_numbers():
    assert encode("aé\n", spec_of("byte")) == [97, 0xC3, 0xA9, 10]


def test_bpe_merges_what_is_frequent():
    text = "low lower lowest\n" * 50
    assert tokens("low lowest\n", spec_of("bpe", text)) == ["low", "Ġlowest", "Ċ"]


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_text_comes_back_exactly(tokenizer):
    spec = spec_of(tokenizer)
    assert decode(encode(TEXT, spec), spec) == TEXT


def test_bytes_and_bpe_know_every_character():
    for tokenizer in ("byte", "bpe"):
        spec = spec_of(tokenizer, "only this\n")
        assert decode(encode("日本 ñ\x00", spec), spec) == "日本 ñ\x00"


def test_words_come_back_spaced_with_their_lines():
    spec = spec_of("whitespace")
    assert decode(encode("The  cat .\n\n The end", spec), spec) == "The cat .\n\nThe end"


@pytest.mark.parametrize("tokenizer", ["whitespace", "basic_english", "char"])
def test_what_training_text_lacks_is_unknown(tokenizer):
    spec = spec_of(tokenizer, "a b\n")
    assert tokens("a", spec) == ["a"]
    assert tokens("ß", spec) == ["<unk>"]


@pytest.mark.parametrize("tokenizer", OWN)
def test_tokens_do_not_depend_on_where_lines_are_parted(tokenizer):
    spec = spec_of(tokenizer)
    parts = [encode(line, spec) for line in TEXT.splitlines(keepends=True)]
    assert [number for part in parts for number in part] == encode(TEXT, spec)


@pytest.mark.parametrize("tokenizer", OWN)
def test_a_spec_is_plain_data(tokenizer):
    spec = spec_of(tokenizer)
    assert json.loads(json.dumps(spec)) == spec
    assert spec["vocab_size"] == len(spec["vocabulary"]) == len(set(spec["vocabulary"]))


@pytest.mark.parametrize("tokenizer", OWN)
def test_no_text_has_no_tokens(tokenizer):
    spec = spec_of(tokenizer)
    assert encode("", spec) == []
    assert decode([], spec) == ""


def test_an_unknown_tokenizer_is_refused():
    with pytest.raises(ValueError, match="one of whitespace, basic_english, torchtext, char, byte, bpe, got spacy"):
        encode("a", {"vocab_size": 0, "vocabulary": [], "tokenizer": {"name": "spacy"}})


def test_numbers_outside_the_vocabulary_are_refused():
    with pytest.raises(ValueError, match="below the vocabulary's size 256, got 256"):
        decode([0, 256], spec_of("byte"))
    with pytest.raises(ValueError, match="got -1"):
        decode([-1], spec_of("char"))
