import pytest
import torch

from src.datamodules.loader import BatchLoader, balanced_order


def loader(num_rows, **settings):
    return BatchLoader(torch.arange(num_rows), **{"batch_size": 3, **settings})


def epoch(loader):
    return [batch.tolist() for (batch,) in loader]


def test_rows_come_in_order_without_shuffling():
    assert epoch(loader(7)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_all_tensors_are_indexed_by_the_same_rows():
    images, labels = torch.rand(7, 2, 5), torch.arange(7)
    for batch, rows in BatchLoader(images, labels, batch_size=3, shuffle=True):
        assert torch.equal(batch, images[rows])


def test_drop_last_leaves_out_the_rest():
    assert epoch(loader(7, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]


def test_only_the_given_rows_are_yielded():
    assert epoch(loader(9, rows=torch.tensor([8, 1, 5, 2]))) == [[8, 1, 5], [2]]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_in_training_no_rank_has_a_single_row_at_the_end(world_size):
    for num_rows in range(2 * world_size, 40):
        for batch_size in (2, 3, 5):
            for rank in range(world_size):
                batches = epoch(loader(num_rows, batch_size=batch_size, shuffle=True, rank=rank, world_size=world_size))
                assert min(map(len, batches)) >= 2


def test_a_single_row_is_a_batch_if_there_is_no_other():
    assert epoch(loader(1, shuffle=True)) == epoch(loader(1)) == [[0]]


def test_an_epoch_shuffles_every_row_once():
    order = [row for batch in epoch(loader(7, shuffle=True)) for row in batch]
    assert order != sorted(order)
    assert sorted(order) == list(range(7))


def test_each_epoch_has_another_order():
    batches = loader(11, shuffle=True)
    assert epoch(batches) != epoch(batches)


def test_an_epochs_order_depends_on_seed_and_epoch_alone():
    first = loader(11, shuffle=True, seed=5)
    epoch(first)
    torch.rand(3)
    second = epoch(first)
    again = loader(11, shuffle=True, seed=5)
    epoch(again)
    assert epoch(again) == second


def test_another_seed_gives_another_order():
    assert epoch(loader(11, shuffle=True, seed=0)) != epoch(loader(11, shuffle=True, seed=1))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7])
def test_ranks_together_see_every_row_once_in_as_many_steps(world_size):
    for num_rows in range(world_size, 50):
        for batch_size in (1, 2, 3, 5, 8):
            ranks = [
                epoch(loader(num_rows, batch_size=batch_size, shuffle=True, rank=rank, world_size=world_size))
                for rank in range(world_size)
            ]
            assert len({len(batches) for batches in ranks}) == 1
            assert all(batch for batches in ranks for batch in batches)
            assert sorted(row for batches in ranks for batch in batches for row in batch) == list(range(num_rows))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_that_drop_the_rest_take_full_batches_and_no_row_twice(world_size):
    for num_rows in range(3 * world_size, 40):
        ranks = [
            epoch(loader(num_rows, shuffle=True, drop_last=True, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        rows = [row for batches in ranks for batch in batches for row in batch]
        assert {len(batch) for batches in ranks for batch in batches} == {3}
        assert len(rows) == len(set(rows)) == num_rows // (3 * world_size) * 3 * world_size


@pytest.mark.parametrize("drop_last", [False, True])
def test_with_the_same_steps_any_number_of_ranks_takes_the_same_rows(drop_last):
    def steps(num_rows, world_size):
        choices = {"batch_size": 12 // world_size, "world_size": world_size, "drop_last": drop_last}
        ranks = [epoch(loader(num_rows, **choices, same_steps=True, shuffle=True, rank=r)) for r in range(world_size)]
        assert all(batch for batches in ranks for batch in batches)
        return [sorted(row for batch in step for row in batch) for step in zip(*ranks, strict=True)]

    for num_rows in range(12, 50):
        one = steps(num_rows, 1)
        assert sum(map(len, one)) == (num_rows // 12 * 12 if drop_last else num_rows)
        assert all(steps(num_rows, world_size) == one for world_size in (2, 3, 4, 6))


def test_with_the_same_steps_a_short_last_batch_shares_the_rows_of_the_one_before():
    assert [len(batch) for batch in epoch(loader(26, batch_size=12, same_steps=True))] == [12, 7, 7]
    assert [len(batch) for batch in epoch(loader(31, batch_size=12, same_steps=True))] == [12, 12, 7]


def test_steps_too_small_for_the_ranks_are_refused():
    with pytest.raises(ValueError, match="9 rows are too few for a batch"):
        loader(9, batch_size=1, world_size=4, same_steps=True)


def test_the_length_is_the_number_of_batches():
    for num_rows in range(2, 30):
        for drop_last in (False, num_rows >= 6):
            batches = loader(num_rows, drop_last=drop_last, rank=1, world_size=2)
            assert len(batches) == len(epoch(batches))


def test_tensors_of_different_rows_are_refused():
    with pytest.raises(ValueError, match=r"same number of rows, got \[2, 3\]"):
        BatchLoader(torch.arange(2), torch.arange(3), batch_size=1)


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        loader(5, batch_size=0)


def test_too_few_rows_for_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"5 rows are too few for a batch.*need 6 or more; lower batch_size, or"):
        loader(5, drop_last=True, world_size=2)


def test_a_batch_is_told_by_its_rows():
    batches = BatchLoader(torch.arange(30), batch_size=12, rank=1, world_size=2)
    assert batches.describe_batch(0) == "rows 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, ..."
    assert batches.describe_batch(1) == "rows 25, 27, 29"


GROUPS = torch.tensor([0] * 2 + [3] * 30 + [7] * 5)


def order_of(seed=0, groups=GROUPS):
    return balanced_order(groups, torch.Generator().manual_seed(seed))


def test_each_group_is_drawn_equally_often():
    counts = GROUPS[order_of()].bincount(minlength=8)
    assert sorted(counts[[0, 3, 7]].tolist()) == [12, 12, 13]


def test_rows_of_a_group_are_drawn_in_turn():
    counts = order_of().bincount(minlength=37)
    assert counts[:2].tolist() in ([6, 6], [6, 7], [7, 6])
    assert counts[2:32].max() == 1  # 12 or 13 of 30
    assert set(counts[32:].tolist()) == {2, 3}


def test_another_seed_draws_another_order():
    assert torch.equal(order_of(3), order_of(3))
    assert not torch.equal(order_of(3), order_of(4))
    assert not torch.equal(order_of(3).sort().values, order_of(4).sort().values)


def test_groups_decide_the_epochs_of_a_shuffled_loader_only():
    rows = torch.arange(37)
    mixed = BatchLoader(rows, batch_size=8, shuffle=True, groups=GROUPS)
    epochs = [torch.cat([batch for (batch,) in mixed]) for _ in range(2)]
    assert not torch.equal(*epochs)
    assert all((GROUPS[epoch] == 0).sum() >= 12 for epoch in epochs)
    assert torch.equal(torch.cat([batch for (batch,) in BatchLoader(rows, batch_size=8, groups=GROUPS)]), rows)


def test_ranks_share_out_one_balanced_order_and_resume_in_it():
    whole = BatchLoader(torch.arange(37), batch_size=8, shuffle=True, groups=GROUPS)
    (first, *_) = [batch for (batch,) in whole]
    parts = [
        BatchLoader(torch.arange(37), batch_size=4, shuffle=True, groups=GROUPS, rank=rank, world_size=2)
        for rank in range(2)
    ]
    firsts = [next(iter(part))[0] for part in parts]
    assert torch.equal(torch.stack(firsts, 1).flatten(), first)
    resumed = BatchLoader(torch.arange(37), batch_size=4, shuffle=True, groups=GROUPS, rank=1, world_size=2)
    resumed.load_state_dict(parts[1].state_dict())
    assert torch.equal(
        next(iter(resumed))[0],
        list(BatchLoader(torch.arange(37), batch_size=8, shuffle=True, groups=GROUPS))[1][0][1::2],
    )
