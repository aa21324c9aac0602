import numpy as np
import pytest

from src.datamodules.stratified import shuffle_by_class, stratified_split

# 4 rows of class 0, 7 of class 1, 10 of class 2, mixed
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [4, 7, 10]))


def test_rows_are_shuffled_within_their_class():
    first, second, third = shuffle_by_class(LABELS, seed=0)
    assert [set(LABELS[rows]) for rows in (first, second, third)] == [{0}, {1}, {2}]
    assert sorted([*first, *second, *third]) == list(range(21))
    assert third.tolist() != sorted(third)


def test_a_stratified_split_holds_out_the_nearest_number_of_each_class():
    _, held_out = stratified_split(LABELS, 0.25, seed=0)
    assert np.bincount(LABELS[held_out]).tolist() == [1, 2, 2]  # of 1, 1.75 and 2.5, which rounds to even


def test_a_stratified_split_deals_out_every_row_once():
    kept, held_out = stratified_split(LABELS, 0.25, seed=0)
    assert sorted([*kept, *held_out]) == list(range(21))


def test_a_stratified_split_holds_out_and_keeps_one_of_each_class_at_least():
    for fraction in (0.01, 0.99):
        for rows in stratified_split(LABELS, fraction, seed=0):
            assert set(LABELS[rows]) == {0, 1, 2}


def test_a_stratified_split_depends_on_the_seed_alone():
    first, again, other = (stratified_split(LABELS, 0.25, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_class_with_one_row_cannot_be_split():
    with pytest.raises(ValueError, match="needs 2 rows of each class, got one of class 7"):
        stratified_split(np.array([3, 3, 7, 3]), 0.5, seed=0)
