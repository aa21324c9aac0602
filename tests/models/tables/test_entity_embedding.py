import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.tables.entity_embedding import EntityEmbedding

SIZES, WIDTHS = [3, 5, 4], [2, 4, 3]


def make(sizes=SIZES, widths=WIDTHS, dropout=0.0, unknown_dropout=0.0, std=0.01):
    return EntityEmbedding(sizes, widths, dropout=dropout, unknown_dropout=unknown_dropout, std=std)


@pytest.fixture
def categories():
    return torch.stack([torch.randint(size, (7,)) for size in SIZES], 1)


@pytest.fixture
def loop():
    """The layers that the lookup stands for, and an EntityEmbedding that holds their weights."""
    layers = [nn.Embedding(size, width) for size, width in zip(SIZES, WIDTHS, strict=True)]
    embedding = make()
    embedding.table.data = torch.cat([layer.weight.data.reshape(-1, 1) for layer in layers])
    return layers, embedding


def side_by_side(layers, categories):
    return torch.cat([layer(column) for layer, column in zip(layers, categories.T, strict=True)], 1)


def test_the_lookup_by_hand():
    embedding = make([2, 3], [1, 2])
    embedding.table.data = torch.arange(8.0).view(8, 1)  # vectors 0, 1 and (2, 3), (4, 5), (6, 7)
    assert embedding(torch.tensor([[1, 0], [0, 2]])).tolist() == [[1, 2, 3], [0, 6, 7]]


def test_the_lookup_equals_a_loop_of_embeddings(loop, categories):
    layers, embedding = loop
    assert_close(embedding(categories), side_by_side(layers, categories), rtol=0, atol=0)


def test_its_gradient_equals_a_loop_of_embeddings(loop, categories):
    layers, embedding = loop
    weights = torch.randn(7, 9)
    (embedding(categories) * weights).sum().backward()
    (side_by_side(layers, categories) * weights).sum().backward()
    assert_close(embedding.table.grad, torch.cat([layer.weight.grad.reshape(-1, 1) for layer in layers]))


def test_the_vectors_of_a_column_are_its_embeddings_weights(loop):
    layers, embedding = loop
    assert all(torch.equal(embedding.vectors(column), layer.weight) for column, layer in enumerate(layers))


def test_vectors_start_near_zero():
    assert make([500], [50]).table.std().item() == pytest.approx(0.01, rel=0.05)


def test_no_column_gives_no_numbers():
    assert make([], [])(torch.zeros(7, 0, dtype=torch.int64)).shape == (7, 0)


def test_unknown_dropout_shows_a_share_of_the_categories_as_unknown():
    embedding = make([3], [1], unknown_dropout=0.3)
    embedding.table.data = torch.tensor([[0.0], [5.0], [7.0]])
    shown = embedding(torch.full((10_000, 1), 2))
    assert (shown == 5).double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert ((shown == 5) | (shown == 7)).all()


def test_nothing_is_dropped_in_evaluation(categories):
    embedding = make(dropout=0.5, unknown_dropout=0.5)
    plain = make()
    plain.load_state_dict(embedding.state_dict())
    assert torch.equal(embedding.eval()(categories), plain(categories))


def test_dropout_zeroes_single_numbers(categories):
    share = (make(dropout=0.25)(categories.repeat(100, 1)) == 0).double().mean().item()
    assert share == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_an_unknown_dropout_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"unknown_dropout must be within \[0, 1\), got {wrong}"):
        make(unknown_dropout=wrong)


def test_known_categories_begin_with_the_deviation_that_is_given_and_others_near_zero():
    embedding = make([2000, 1000], [3, 8], std=2.0)
    for column in (0, 1):
        vectors = embedding.vectors(column)
        assert vectors[2:].std().item() == pytest.approx(2.0, rel=0.1)
        assert vectors[:2].abs().max() < 0.05
