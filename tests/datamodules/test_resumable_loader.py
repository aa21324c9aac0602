import pytest
import torch

from src.datamodules.loader import BatchLoader


def loader(num_rows, **settings):
    return BatchLoader(torch.arange(num_rows), **{"batch_size": 3, **settings})


def epoch(loader):
    return [batch.tolist() for (batch,) in loader]


@pytest.mark.parametrize("stop", range(1, 4))
def test_a_resumed_loader_goes_on_with_the_very_next_batch(stop):
    whole = loader(11, shuffle=True)
    epoch(whole)
    rest = epoch(whole)[stop:] + epoch(whole)

    stopped = loader(11, shuffle=True)
    epoch(stopped)
    batches = iter(stopped)
    for _ in range(stop):
        next(batches)
    resumed = loader(11, shuffle=True)
    resumed.load_state_dict(stopped.state_dict())
    assert epoch(resumed) + epoch(resumed) == rest


def test_a_loader_resumed_after_an_epoch_begins_the_next():
    whole = loader(11, shuffle=True)
    epoch(whole)
    resumed = loader(11, shuffle=True)
    resumed.load_state_dict(whole.state_dict())
    assert epoch(resumed) == epoch(whole)


def test_a_loader_stopped_at_its_last_batch_begins_the_next_epoch():
    # As Lightning does: it takes len() batches and never asks for the end.
    whole = loader(11, shuffle=True)
    batches = iter(whole)
    for _ in range(len(whole)):
        next(batches)
    resumed = loader(11, shuffle=True)
    resumed.load_state_dict(whole.state_dict())
    second = epoch(resumed)
    assert len(second) == 4
    assert second == epoch(whole)


def test_a_loader_resumed_before_its_first_epoch_starts_with_it():
    resumed = loader(11, shuffle=True)
    resumed.load_state_dict(loader(11, shuffle=True).state_dict())
    assert epoch(resumed) == epoch(loader(11, shuffle=True))


def test_fewer_ranks_with_larger_batches_go_on_in_mid_epoch():
    stopped = loader(13, batch_size=2, world_size=2, shuffle=True)
    next(iter(stopped))
    resumed = loader(13, batch_size=4, shuffle=True)
    resumed.load_state_dict(stopped.state_dict())
    assert len(epoch(resumed)) == 3


def test_another_batch_size_in_mid_epoch_is_refused():
    stopped = loader(11)
    next(iter(stopped))
    with pytest.raises(ValueError, match=r"same batch_size times devices.*'rows_per_step': 2.*'rows_per_step': 3"):
        loader(11, batch_size=2).load_state_dict(stopped.state_dict())


def test_another_batch_size_after_an_epoch_is_fine():
    stopped = loader(11)
    epoch(stopped)
    resumed = loader(11, batch_size=2)
    resumed.load_state_dict(stopped.state_dict())
    assert len(epoch(resumed)) == 6
