import pytest

from src.datamodules.text.vocabulary import build_spec

TEXT = "b b b\na a <unk> c\n"


def vocabulary(tokenizer="whitespace", texts=(TEXT,), **changes):
    limits = {"vocab": "own", "min_freq": 1, "max_vocab_size": None, "specials": [], **changes}
    return build_spec(tokenizer, texts, **limits)["vocabulary"]


def test_specials_come_first_then_the_most_frequent():
    assert vocabulary() == ["<unk>", "<eos>", "b", "a", "c"]


def test_equals_come_in_unicodes_order():
    assert vocabulary(texts=["d é c\n", "b Z\n"])[2:] == ["Z", "b", "c", "d", "é"]


def test_counts_go_over_all_texts():
    assert vocabulary(texts=["a b\n", "b\n"]) == ["<unk>", "<eos>", "b", "a"]


def test_rare_words_are_left_out():
    assert vocabulary(min_freq=2) == ["<unk>", "<eos>", "b", "a"]


def test_the_size_counts_specials():
    assert vocabulary(max_vocab_size=3) == ["<unk>", "<eos>", "b"]


def test_specials_are_added_once():
    assert vocabulary(specials=["<pad>", "a", "<eos>"]) == ["<unk>", "<eos>", "<pad>", "a", "b", "c"]


def test_characters_are_counted_too():
    assert vocabulary("char", ["aab\n", "ab"]) == ["<unk>", "a", "b", "\n"]


def test_bpe_has_all_bytes_its_specials_and_as_many_merges_as_fit():
    found = vocabulary("bpe", ["abab abab\n" * 20], max_vocab_size=260, specials=["<pad>"])
    assert found[0] == "<pad>"
    assert len(found) == 260
    assert found[-1] == "Ġabab"


@pytest.mark.parametrize(
    ("tokenizer", "changes", "message"),
    [
        ("whitespace", {"min_freq": 0}, "min_freq must be positive, got 0"),
        ("whitespace", {"max_vocab_size": 2}, "max_vocab_size must be above 2, got 2"),
        ("byte", {"max_vocab_size": 100}, "byte always has 256 tokens"),
        ("byte", {"specials": ["<pad>"]}, "byte always has 256 tokens"),
        ("bpe", {}, "bpe needs datamodule.max_vocab_size above 256, got None"),
        ("bpe", {"max_vocab_size": 257, "specials": ["<pad>"]}, "above 257, got 257"),
        ("spacy", {}, "datamodule.tokenizer must be one of whitespace, .* got spacy"),
    ],
)
def test_limits_that_leave_no_room_are_refused(tokenizer, changes, message):
    with pytest.raises(ValueError, match=message):
        vocabulary(tokenizer, **changes)
