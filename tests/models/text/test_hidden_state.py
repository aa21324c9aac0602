import pytest
import torch

from src.models.text.hidden_state import dealt


def states(world_size):
    """The states of ranks that have 12 tracks together: two layers, (layers, tracks, size) and (tracks, size)."""
    cells, inputs = torch.arange(12 * 5).view(1, 12, 5), torch.arange(12 * 3).view(12, 3)
    ranks = zip(cells.tensor_split(world_size, 1), inputs.tensor_split(world_size), strict=True)
    return [((cell, cell + 1), (given,)) for cell, given in ranks]


@pytest.mark.parametrize(("before", "after"), [(4, 2), (2, 1), (1, 3), (3, 3)])
def test_each_rank_gets_the_state_of_its_tracks(before, after):
    for rank, expected in enumerate(states(after)):
        (cell, other), (given,) = dealt(states(before), rank, after)
        assert torch.equal(cell, expected[0][0])
        assert torch.equal(other, expected[0][1])
        assert torch.equal(given, expected[1][0])


def test_an_epoch_begins_without_a_state_on_any_number_of_ranks():
    assert dealt([None, None], 2, 3) is None
