import math

import pytest
import torch
from torch.testing import assert_close

from src.models.tables.numerical_embedding import PeriodicEmbedding, PiecewiseLinearEmbedding

BINS = [[0.0, 1.0, 3.0], [-1.0, 1.0]]


def piecewise(bins=BINS, width=1):
    """With slopes and bias of 0, so that only the bends tell."""
    embedding = PiecewiseLinearEmbedding(bins, width=width)
    torch.nn.init.zeros_(embedding.slopes)
    torch.nn.init.zeros_(embedding.bias)
    return embedding


@pytest.mark.parametrize(
    ("value", "passed"),
    [(-5.0, [0, 0]), (0.25, [0.25, 0]), (1.0, [1, 0]), (2.0, [1, 0.5]), (3.0, [1, 1]), (9.0, [1, 1])],
)
def test_each_bin_tells_how_much_of_it_a_value_has_passed(value, passed):
    embedding = piecewise([[0.0, 1.0, 3.0]], width=2)
    embedding.bends.data = torch.eye(2).unsqueeze(0)
    assert embedding(torch.tensor([[value]]))[0].tolist() == passed


def test_columns_may_have_bins_of_different_number():
    embedding = piecewise()
    embedding.bends.data = torch.tensor([[[1.0], [10.0]], [[100.0], [1000.0]]])
    # half of the first bin; 3 / 4 of the only one: what the column lacks adds nothing
    assert embedding(torch.tensor([[0.5, 0.5]])).tolist() == [[0.5, 75.0]]


def test_it_starts_as_a_straight_line():
    embedding = PiecewiseLinearEmbedding(BINS, width=4)
    zero, x = embedding(torch.zeros(1, 2)), torch.randn(5, 2)
    assert_close(embedding(2 * x) - zero, 2 * (embedding(x) - zero))


@pytest.mark.parametrize("edges", [[], [1.0]])
def test_a_column_without_bins_stays_a_straight_line(edges):
    embedding = PiecewiseLinearEmbedding([edges], width=1)
    torch.nn.init.normal_(embedding.bends)
    assert_close(embedding(torch.tensor([[7.0]])), 7 * embedding.slopes + embedding.bias)


def test_each_column_has_a_vector_of_its_own():
    embedding = PiecewiseLinearEmbedding(BINS, width=4)
    before, after = embedding(torch.tensor([[0.5, 0.5], [0.5, 0.9]]))
    assert torch.equal(before[:4], after[:4])
    assert (before[4:] != after[4:]).all()


def test_periodic_by_hand():
    embedding = PeriodicEmbedding(1, width=2, num_frequencies=1, frequency_scale=1.0)
    embedding.frequencies.data = torch.tensor([[0.5]])
    embedding.weight.data = torch.tensor([[[1.0, -1.0], [2.0, 2.0]]])
    embedding.bias.data = torch.tensor([[0.25, 0.0]])
    cos, sin = math.cos(math.pi / 3), math.sin(math.pi / 3)  # of 2 pi 0.5 / 3
    assert_close(embedding(torch.tensor([[1 / 3]])), torch.tensor([[cos + 2 * sin + 0.25, -cos + 2 * sin]]))


def test_a_periodic_embedding_keeps_what_is_positive():
    embedding = PeriodicEmbedding(3, width=4, num_frequencies=5, frequency_scale=1.0)
    vectors = embedding(torch.randn(6, 3))
    assert vectors.shape == (6, 12)
    assert vectors.min() == 0


def test_frequencies_are_spread_by_their_scale():
    embedding = PeriodicEmbedding(10, width=2, num_frequencies=200, frequency_scale=0.3)
    assert embedding.frequencies.std().item() == pytest.approx(0.3, rel=0.1)
