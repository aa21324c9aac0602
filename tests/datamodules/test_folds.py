import numpy as np
import pytest

from src.datamodules.folds import blocks_of_time, check_fold, deal, deal_groups

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [4, 7, 12]))


def test_folds_have_equally_many_rows_and_of_each_class_but_for_one():
    folds = deal(LABELS, 3, seed=0)
    assert np.bincount(folds).tolist() == [8, 8, 7]
    for label in range(3):
        counts = np.bincount(folds[label == LABELS], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides_the_fold_of_a_row():
    first, again, other = (deal(LABELS, 3, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_of_one_row_cannot_be_held_out_and_trained_on():
    with pytest.raises(ValueError, match="needs 2 rows or more; 1 of 2 classes have one"):
        deal(np.array([0, 0, 0, 1]), 2, seed=0)


def test_groups_stay_whole_and_folds_are_about_equally_large():
    groups = np.repeat(np.arange(6), [9, 1, 5, 4, 3, 2])
    folds = deal_groups(groups, 3, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(6))
    assert sorted(np.bincount(folds)) == [7, 8, 9]  # 5 + 2, 4 + 3 + 1, 9


def test_as_many_groups_as_folds_are_one_each():
    assert sorted(deal_groups(np.array([0, 1, 2, 2, 2]), 3, seed=0)[:3]) == [0, 1, 2]


def test_the_first_block_of_time_is_in_no_fold_and_no_time_is_in_two():
    times = np.array([5.0, 1, 2, 3, 3, 4, 6, 7])
    assert blocks_of_time(times, 3).tolist() == [1, -1, -1, 0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: deal(np.zeros(3, int), 4, seed=0), "at most the number of rows, 3, got 4"),
        (lambda: deal_groups(np.array([0, 1, 1]), 3, seed=0), "at most the number of groups, 2, got 3"),
        (lambda: blocks_of_time(np.array([1.0, 1, 1, 2]), 2), "3 blocks of time, but 2 different times leave 1"),
        (lambda: check_fold(5, 5), "must be from 0 to num_folds - 1 = 4, got 5"),
        (lambda: check_fold(-1, 5), "must be from 0 to num_folds - 1 = 4, got -1"),
        (lambda: check_fold(0, 1), "num_folds must be 2 or more, got 1"),
    ],
)
def test_folds_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
