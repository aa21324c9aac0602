import copy

import numpy as np
import pytest
import torch

from src.datamodules.text.bptt_loader import IGNORED, BPTTLoader


def loader(num_tokens, **settings):
    return BPTTLoader(torch.arange(num_tokens), **{"batch_size": 2, "bptt": 3, **settings})


def epoch(loader):
    return [tokens.tolist() for tokens, _ in loader]


def lengths(loader):
    return [len(tokens) for tokens, _ in loader]


def test_each_track_is_read_window_by_window():
    # Two tracks of four, 0 1 2 3 and 4 5 6 7; 8 is a target only.
    (first, second), (third, fourth) = loader(9)
    assert first.tolist() == [[0, 4], [1, 5], [2, 6]]
    assert second.tolist() == [[1, 5], [2, 6], [3, 7]]
    assert third.tolist() == [[3, 7]]
    assert fourth.tolist() == [[4, 8]]


@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_token_but_the_tail_is_seen_once_with_its_successor(vary, world_size):
    for num_tokens in (7, 26, 113, 500):
        pairs = []
        for rank in range(world_size):
            batches = loader(num_tokens, bptt=11, vary=vary, rank=rank, world_size=world_size)
            pairs += [
                pair for batch in batches for pair in zip(*(part.flatten().tolist() for part in batch), strict=True)
            ]
        seen = (num_tokens - 1) // (2 * world_size) * 2 * world_size
        assert sorted(pairs) == [(token, token + 1) for token in range(seen)]


def test_a_kept_tail_is_seen_too_and_padding_is_ignored():
    for num_tokens in (5, 6, 7, 8, 30):
        batches = list(loader(num_tokens, batch_size=4, keep_tail=True))
        counted = torch.cat([targets[targets != IGNORED] for _, targets in batches])
        assert sorted(counted.tolist()) == list(range(1, num_tokens))
        for tokens, targets in batches:
            counts = targets != IGNORED
            assert torch.equal(tokens[counts] + 1, targets[counts])
            assert 0 <= tokens.min() <= tokens.max() < num_tokens


def test_ranks_read_neighbouring_tracks_in_as_many_windows():
    whole = epoch(loader(50, batch_size=6))
    ranks = [epoch(loader(50, rank=rank, world_size=3)) for rank in range(3)]
    side_by_side = [np.concatenate(windows, axis=1).tolist() for windows in zip(*ranks, strict=True)]
    assert side_by_side == whole


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_a_memory_map_of_any_width_gives_the_same_windows(tmp_path, dtype):
    np.arange(20, dtype=dtype).tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", dtype=dtype, mode="r")
    mapped = BPTTLoader(tokens, batch_size=2, bptt=3)
    assert np.shares_memory(mapped.tokens, tokens)
    assert all(part.dtype == torch.int64 and part.is_contiguous() for batch in mapped for part in batch)
    assert epoch(BPTTLoader(tokens, batch_size=2, bptt=3)) == epoch(loader(20))


def test_the_length_is_the_number_of_windows():
    for vary in (False, True):
        for num_tokens in range(3, 300, 7):
            batches = loader(num_tokens, bptt=8, vary=vary)
            assert len(batches) == len(epoch(batches)) == len(epoch(batches))


def test_a_third_part_says_where_documents_begin():
    # Tracks 0 1 2 3 and 4 5 6 7; documents begin at 0, 1 and 6, and at 8, which is a target only.
    starts = np.array([0, 1, 6, 8])
    (*_, first), (_, targets, second) = loader(9, starts=starts)
    assert first.tolist() == [[True, False], [True, False], [False, True]]
    assert second.tolist() == [[False, False]]
    assert targets.tolist() == [[4, 8]]


@pytest.mark.parametrize(
    "settings", [{"vary": True}, {"batch_size": 4, "keep_tail": True}, {"rank": 1, "world_size": 3}]
)
def test_documents_change_neither_windows_nor_targets(settings):
    starts = np.arange(0, 100, 7)
    for batch, (*plain, is_start) in zip(loader(100, **settings), loader(100, starts=starts, **settings), strict=True):
        assert all(map(torch.equal, batch, plain))
        tokens, targets = batch
        assert torch.equal(is_start, (tokens % 7 == 0) & (targets != IGNORED))  # the tokens are their own places


def test_varied_lengths_are_those_of_the_paper():
    found = np.array(lengths(loader(2_000_001, batch_size=4, bptt=70, vary=True)))
    halves = found < 52
    assert 0.04 < halves.mean() < 0.06
    assert found[halves].mean() == pytest.approx(34.5, abs=0.7)  # the fraction is cut off
    assert found[~halves].mean() == pytest.approx(69.5, abs=0.3)
    assert found[~halves].std() == pytest.approx(5, abs=0.3)


def test_no_varied_window_is_shorter_than_five_tokens():
    for seed in range(30):
        assert min(lengths(loader(301, bptt=6, vary=True, seed=seed))) >= 5


def test_each_epoch_cuts_elsewhere_in_as_many_windows():
    batches = loader(1001, bptt=20, vary=True)
    first, second = lengths(batches), lengths(batches)
    assert first != second
    assert len(first) == len(second)


def test_an_epochs_windows_depend_on_seed_and_epoch_alone():
    first = loader(1001, bptt=20, vary=True, seed=5)
    epoch(first)
    np.random.rand(3)
    torch.rand(3)
    again = loader(1001, bptt=20, vary=True, seed=5)
    epoch(again)
    assert lengths(first) == lengths(again)
    assert lengths(loader(1001, bptt=20, vary=True, seed=6)) != lengths(loader(1001, bptt=20, vary=True, seed=5))


def test_a_new_bptt_holds_from_the_next_epoch_on():
    batches = loader(41, bptt=3)
    epoch(batches)
    batches.bptt = 8
    assert len(batches) == 3
    assert lengths(batches) == [8, 8, 4]


def test_a_copy_shares_the_tokens_and_has_a_place_of_its_own():
    batches = loader(41, vary=True)
    copied = copy.deepcopy(batches)
    copied.bptt = 9
    epoch(copied)
    assert np.shares_memory(copied.tokens, batches.tokens)
    assert (batches.bptt, batches.epoch, batches.next_batch) == (3, -1, 0)


@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("stop", range(1, 4))
def test_a_resumed_loader_goes_on_with_the_very_next_window(stop, vary):
    def make():
        return loader(100, bptt=7, vary=vary)

    whole = make()
    epoch(whole)
    rest = epoch(whole)[stop:] + epoch(whole)
    stopped = make()
    epoch(stopped)
    windows = iter(stopped)
    for _ in range(stop):
        next(windows)
    resumed = make()
    resumed.load_state_dict(stopped.state_dict())
    assert epoch(resumed) + epoch(resumed) == rest


def test_a_loader_stopped_at_its_last_window_begins_the_next_epoch():
    # As Lightning does: it takes len() batches and never asks for the end.
    whole = loader(60, bptt=7, vary=True)
    windows = iter(whole)
    for _ in range(len(whole)):
        next(windows)
    resumed = loader(60, bptt=7, vary=True)
    resumed.load_state_dict(whole.state_dict())
    assert epoch(resumed) == epoch(whole)


def test_a_loader_resumed_before_its_first_epoch_starts_with_it():
    resumed = loader(60, vary=True)
    resumed.load_state_dict(loader(60, vary=True).state_dict())
    assert epoch(resumed) == epoch(loader(60, vary=True))


@pytest.mark.parametrize(
    "change",
    [{"bptt": 4}, {"batch_size": 3}, {"num_tokens": 61}, {"vary": True}],
    ids=lambda change: next(iter(change)),
)
def test_other_windows_in_mid_epoch_are_refused(change):
    stopped = loader(60)
    next(iter(stopped))
    with pytest.raises(ValueError, match=r"same text, bptt and batch_size times devices.*'bptt': 3.*before"):
        loader(**{"num_tokens": 60, **change}).load_state_dict(stopped.state_dict())


def test_other_windows_after_an_epoch_are_fine():
    stopped = loader(60)
    epoch(stopped)
    resumed = loader(60, bptt=4)
    resumed.load_state_dict(stopped.state_dict())
    assert len(epoch(resumed)) == len(resumed)


def test_fewer_ranks_with_larger_batches_go_on_in_mid_epoch():
    stopped = loader(60, batch_size=2, world_size=2)
    next(iter(stopped))
    resumed = loader(60, batch_size=4)
    resumed.load_state_dict(stopped.state_dict())
    assert len(epoch(resumed)) == len(resumed) - 1


def test_too_few_tokens_for_a_window_are_refused():
    with pytest.raises(ValueError, match=r"4 tokens are too few for a window: .*world_size=2 need 5 or more"):
        loader(4, world_size=2)


def test_anything_but_one_stream_is_refused():
    with pytest.raises(ValueError, match=r"one stream, got the shape \(2, 3\)"):
        BPTTLoader(torch.zeros(2, 3), batch_size=1, bptt=1)


def test_a_batch_size_or_bptt_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        loader(5, batch_size=0)
    with pytest.raises(ValueError, match="bptt must be positive, got 0"):
        loader(5, bptt=0)


def test_a_window_is_told_by_its_tokens():
    windows = BPTTLoader(torch.arange(50), batch_size=2, bptt=10)
    assert windows.describe_batch(0) == "tokens 0 to 10 of each track"
    assert windows.describe_batch(2) == "tokens 20 to 24 of each track"  # 49 pairs in 2 tracks are 24 each
