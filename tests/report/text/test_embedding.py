import numpy as np

from src.report.text.embedding import content_words, draw_token_map, nearest_tokens, numbers_of
from src.report.text.losses import Tokens, tokens_of
from tests.support.tiny_text import TinyText

NAMES = ["<unk>", "which", "king", "old", "queen", "castle", "rare", "2024"]
COUNTS = np.array([900, 800, 300, 700, 400, 500, 19, 600])
TOKENS = Tokens(NAMES, COUNTS, " ")
#             <unk>   which   king    old     queen     castle   rare    2024
VECTORS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0], [3, 0.3], [2, 2], [1, 0], [0, 0]], dtype=np.float32)


def test_content_words_are_long_frequent_and_no_stop_words():
    assert [NAMES[token] for token in content_words(TOKENS, 5)] == ["castle", "queen", "king"]
    assert [NAMES[token] for token in content_words(TOKENS, 2)] == ["castle", "queen"]


def test_a_byte_pair_is_a_word_only_after_a_space():
    pairs = Tokens([" king", "tion", " a"], np.array([30, 50, 90]), "")
    assert content_words(pairs, 5) == [0]


def test_words_are_found_after_a_space_first():
    pairs = Tokens(["king", " king", "queen"], np.ones(3), "")
    assert numbers_of(["king", "queen", "none"], pairs) == [1, 2]


def test_neighbours_are_frequent_and_the_closest_comes_first():
    (row,) = nearest_tokens(VECTORS, [2], TOKENS)
    assert row[:2] == ("king", 300)
    assert row[2].split(" · ")[:2] == ["queen 1.00", "castle 0.71"]
    assert "rare" not in row[2]
    assert "king" not in row[2]


def test_the_map_shows_frequent_readable_tokens():
    letters = Tokens(["a", "$", "\ufffd", " ", "z"], np.array([50_000, 30_000, 9_000, 20_000, 1]), "")
    figure = draw_token_map(np.arange(15.0).reshape(5, 3) ** 2, letters)
    assert [text.get_text() for text in figure.axes[0].texts] == ["a", "$", "␣"]


def test_counts_are_those_of_the_training_text():
    data = TinyText()
    data.tokens = {"train": np.array([0, 3, 3, 10], np.uint16)}
    tokens = tokens_of(data)
    assert tokens.counts.tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]
    assert tokens.names == list("abcdefghijk")
    assert tokens.between == ""


def test_line_ends_can_be_seen():
    data = TinyText()
    data.tokens = {"train": np.zeros(1, np.uint16)}
    data.spec |= {"vocabulary": ["<eos>", "\n", *"cdefghijk"]}
    assert tokens_of(data).names[:3] == ["↵", "↵", "c"]
