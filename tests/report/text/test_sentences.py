import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from src.report.text.losses import TextLosses, Tokens
from src.report.text.sentences import LEVELS, Sentence, coloured, legend, sentences_of

NAMES = ["<unk>", "↵", ".", "&", '"', "<script>alert(1)</script>", "a-word-of-twenty-one-s"]
TOKENS = Tokens(NAMES, np.ones(len(NAMES), np.int64), " ")
LONG = 6


def text_of(targets, losses=None):
    """One track."""
    targets = torch.tensor(targets)[:, None]
    losses = torch.arange(1.0, len(targets) + 1)[:, None] if losses is None else torch.tensor(losses)[:, None]
    return TextLosses((targets, targets), losses, np.zeros(0), np.zeros(0), len(targets))


def tokens_in(found):
    return [sentence.tokens for sentence in found]


class Reader(HTMLParser):
    """The text of a page, its tags' names, and the titles."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.titles = "", [], []
        self.feed(str(html))  # Markup would escape what it hands out

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.text += data


def test_a_sentence_goes_up_to_its_end_and_is_whole():
    text = text_of([LONG, LONG, 2, 3, LONG, LONG, 1, LONG, LONG, 2, LONG, LONG])
    assert tokens_in(sentences_of(text, TOKENS)) == [[3, LONG, LONG, 1], [LONG, LONG, 2]]


def test_short_and_endless_sentences_are_left_out():
    text = text_of([2, LONG, 2, *[LONG] * 20, 2, LONG, LONG, 2])
    assert tokens_in(sentences_of(text, TOKENS)) == [[LONG, LONG, 2]]


@pytest.mark.parametrize(("length", "is_kept"), [(36, False), (37, True), (297, True), (298, False)])
def test_a_sentence_has_40_to_300_characters_with_its_spaces(length, is_kept):
    tokens = Tokens(["x" * length, "."], np.ones(2), " ")
    assert tokens_in(sentences_of(text_of([1, 0, 1]), tokens)) == ([[0, 1]] if is_kept else [])


def test_the_hardest_is_the_last_by_the_mean_and_not_by_the_sum():
    losses = [0.0, 3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    found = sentences_of(text_of([2, LONG, LONG, 2, LONG, LONG, LONG, LONG, LONG, 2], losses), TOKENS)
    assert [sentence.mean for sentence in found] == [2.0, 3.0]


def test_missing_targets_are_part_of_no_sentence():
    text = text_of([2, LONG, LONG, 2, -100, -100])
    assert tokens_in(sentences_of(text, TOKENS)) == [[LONG, LONG, 2]]


def test_a_sentence_does_not_go_on_in_another_track():
    targets = torch.tensor([[2, LONG], [LONG, LONG], [LONG, 2]])
    text = TextLosses((targets, targets), torch.ones(3, 2), np.zeros(0), np.zeros(0), 6)
    assert sentences_of(text, TOKENS) == []


def test_every_token_is_escaped():
    page = Reader(coloured(Sentence(range(len(NAMES)), np.arange(7.0)), TOKENS))
    assert " ".join(NAMES) in page.text
    assert set(page.tags) == {"p", "span", "br"}


def test_a_token_s_title_has_its_loss_and_probability():
    page = Reader(coloured(Sentence([0, 3], np.array([math.log(4), 10.0])), TOKENS))
    assert page.titles == ["loss 1.39, probability 25%", "loss 10.00, probability 1 in 22,026"]


@pytest.mark.parametrize(
    ("probability", "thickness"), [(0.6, None), (0.5, None), (0.4, "1"), (0.05, "2"), (0.002, "3"), (1e-5, "4")]
)
def test_the_line_is_the_thicker_the_less_probable_a_token_is(probability, thickness):
    html = coloured(Sentence([0], -np.log([probability])), TOKENS)
    assert re.findall(r"border-bottom: (\d)px", html) == ([thickness] if thickness else [])


def test_the_legend_shows_every_level():
    html = legend()
    assert all(words in html for _, words in LEVELS)
    assert re.findall(r"border-bottom: (\d)px", html) == ["1", "2", "3", "4"]


def test_characters_stand_side_by_side():
    letters = Tokens(list("ab c"), np.ones(4, np.int64), "")
    page = Reader(coloured(Sentence([0, 1, 2, 3], np.ones(4)), letters))
    assert page.text.startswith("ab c")
