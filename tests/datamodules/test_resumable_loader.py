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
    stopped = loader(16, batch_size=2, world_size=2, shuffle=True)
    next(iter(stopped))
    resumed = loader(16, batch_size=4, shuffle=True)
    resumed.load_state_dict(stopped.state_dict())
    assert len(epoch(resumed)) == 3


@pytest.mark.parametrize("num_rows", [60, 62, 67])
def test_any_number_of_ranks_goes_on_with_each_row_once(num_rows):
    seen, states = [], [None] * 4
    for world_size, stop in ((4, 1), (2, 2), (1, 4), (3, 99)):
        ranks = [
            loader(num_rows, batch_size=12 // world_size, shuffle=True, same_steps=True, rank=r, world_size=world_size)
            for r in range(world_size)
        ]
        for rank in ranks:
            if states[0] is not None:
                rank.load_state_dict(states[0])
            for (batch,) in rank:
                seen += batch.tolist()
                if rank.next_batch == stop:
                    break
        states = [rank.state_dict() for rank in ranks]
        assert all(state == states[0] for state in states)
    assert sorted(seen) == list(range(num_rows))
    assert states[0]["epoch"] == 0


def test_a_step_that_would_leave_out_rows_is_refused():
    stopped = loader(26, batch_size=12, same_steps=True)  # 12, 7 and 7
    batches = iter(stopped)
    next(batches), next(batches)
    with pytest.raises(ValueError, match=r"same rows.*'rows_before': 24.*'rows_before': 19"):
        loader(26, batch_size=12).load_state_dict(stopped.state_dict())


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
