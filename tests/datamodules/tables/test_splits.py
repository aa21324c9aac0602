import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.splits import Splitting

DAYS = ["2020-01-03", "2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05", "2020-01-04", "2020-01-02", "2020-01-01"]


def splitting(kind="random", column=None, **changes):
    choices = {"valid_fraction": 0.25, "test_fraction": 0.125, "valid_from": None, "test_from": None}
    return Splitting(kind, column, **{**choices, "date_format": None, "seed": 0, **changes})


def divided(values, kind, **changes):
    """The positions of each split's rows, by a column of these values."""
    rows = splitting(kind, "key", **changes).divide(pd.DataFrame({"key": values}))
    return {name: found.tolist() for name, found in rows.items()}


def by_chance(classes, **changes):
    frame = pd.DataFrame({"row": range(len(classes))})
    return splitting(**changes).divide(frame, np.asarray(classes))


def test_each_row_is_in_one_split_of_the_asked_size():
    rows = splitting().divide(pd.DataFrame({"row": range(80)}))
    assert {name: len(found) for name, found in rows.items()} == {"train": 50, "valid": 20, "test": 10}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(80))


def test_rows_stay_in_the_order_of_the_table():
    assert all((np.diff(found) > 0).all() for found in splitting().divide(pd.DataFrame({"row": range(80)})).values())


def test_each_class_has_the_same_share_in_each_split():
    classes = np.array([7] * 16 + [3] * 48)
    for rows in by_chance(classes).values():
        assert (classes[rows] == 7).mean() == 0.25


def test_the_only_row_of_a_class_is_to_train_on():
    assert 5 in by_chance([0] * 5 + [1] + [0] * 10)["train"]


def test_the_seed_alone_decides():
    rows = [by_chance([0] * 80, seed=seed)["test"].tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_without_a_test_fraction_there_is_no_test_split():
    assert list(by_chance([0] * 8, test_fraction=0)) == ["train", "valid"]


def test_the_last_rows_by_time_are_held_out():
    assert divided([3, 1, 2, 8, 5, 4, 7, 6], "time") == {"train": [0, 1, 2, 4, 5], "valid": [6, 7], "test": [3]}


@pytest.mark.parametrize("kind", [str, pd.Timestamp])
def test_dates_may_be_text_and_one_day_is_in_one_split(kind):
    rows = divided([kind(day) for day in DAYS], "time")  # the boundary would fall between rows of the third
    assert rows == {"train": [1, 2, 6, 7], "valid": [0, 3, 5], "test": [4]}


def test_dates_of_another_form_are_in_the_order_of_time():
    days = ["31.12.2019", "01.01.2021", "02.01.2020", "03.01.2020"]
    assert divided(days, "time", date_format="%d.%m.%Y", test_fraction=0)["valid"] == [1]


@pytest.mark.parametrize(
    ("values", "begin"), [(DAYS, ("2020-01-02", "2020-01-05")), ([3, 1, 2, 3, 5, 4, 2, 1], (2, 5))]
)
def test_the_splits_may_begin_at_given_values(values, begin):
    rows = divided(values, "time", valid_from=begin[0], test_from=begin[1])
    assert rows == {"train": [1, 7], "valid": [0, 2, 3, 5, 6], "test": [4]}


def test_a_row_without_a_time_is_refused():
    with pytest.raises(ValueError, match="split=time needs 'key' in every row, but row 2 has none"):
        divided(["2020-01-01", "2020-01-02", None], "time")


def test_a_beginning_that_is_no_date_is_refused():
    with pytest.raises(ValueError, match=r"valid_from or test_from' must hold dates such as 2013-01-31: .* 'May'"):
        divided(DAYS, "time", valid_from="May")


def test_rows_of_a_group_stay_together():
    groups = np.random.default_rng(0).choice(["a", "b", "c", "d", "e", "f", "g", None], 400)
    rows = divided(groups, "group")
    found = [{str(groups[row]) for row in positions} for positions in rows.values()]
    assert sum(map(len, found)) == len(set.union(*found)) == 8


def test_groups_give_the_asked_shares_as_near_as_they_can():
    groups = np.random.default_rng(0).integers(0, 200, 8000)
    sizes = {name: len(found) for name, found in divided(groups, "group").items()}
    assert sizes == pytest.approx({"train": 5000, "valid": 2000, "test": 1000}, abs=60)


def test_groups_are_drawn_by_the_seed():
    rows = [divided(list("abcdefgh"), "group", seed=seed) for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_a_column_may_name_the_splits():
    names = ["train", "Validation", "test", "val", "TRAIN", "valid"]
    assert divided(names, "column") == {"train": [0, 4], "valid": [1, 3, 5], "test": [2]}


def test_a_column_may_name_no_test_rows():
    assert list(divided(["train", "valid"], "column")) == ["train", "valid"]


@pytest.mark.parametrize("value", ["holdout", None])
def test_a_name_of_no_split_is_refused_with_its_row(value):
    with pytest.raises(ValueError, match=rf"needs train, valid or test in 'key', row 1 has .*{value or 'nan'}"):
        divided(["train", value], "column")


def test_an_unknown_column_is_named_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match="the table has no column 'custmer'; did you mean 'customer'"):
        splitting("group", "custmer").divide(pd.DataFrame({"customer": [1, 2]}))


@pytest.mark.parametrize(
    ("name", "values", "kind", "changes"),
    [
        ("valid", [1, 1, 1], "group", {}),
        ("test", [1, 2, 3, 4], "time", {"test_from": 9}),
        ("train", [1, 1, 1], "time", {}),
        ("train", ["test", "valid"], "column", {}),
    ],
)
def test_a_split_without_rows_is_refused(name, values, kind, changes):
    with pytest.raises(ValueError, match=rf"split={kind} gives none of {len(values)} rows to {name}; change .*\(key\)"):
        divided(values, kind, **changes)


def test_a_way_to_split_that_needs_a_column_says_so():
    with pytest.raises(ValueError, match=r"split=time needs datamodule\.split_column"):
        splitting("time")


def test_an_unknown_way_to_split_is_refused():
    with pytest.raises(ValueError, match="split must be random, time, group, column, got date"):
        splitting("date")


@pytest.mark.parametrize("fractions", [(-0.1, 0.1), (0.5, 0.5)])
def test_fractions_must_leave_rows_to_train_on(fractions):
    with pytest.raises(ValueError, match="must be 0 or more and leave rows to train on, got"):
        splitting(valid_fraction=fractions[0], test_fraction=fractions[1])


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 6, 14, 15])
def test_many_small_classes_give_the_asked_shares_in_total(rows):
    classes = np.repeat(np.arange(120), rows)
    found = by_chance(classes, valid_fraction=0.1, test_fraction=0.1)
    wanted = len(classes) / 10
    assert {name: len(found[name]) for name in ("valid", "test")} == pytest.approx(
        {"valid": wanted, "test": wanted}, rel=0.1
    )
    assert set(classes[found["train"]]) == set(range(120))


def test_small_classes_of_several_sizes_give_the_asked_shares_too():
    classes = np.repeat(np.arange(300), np.random.default_rng(0).integers(1, 8, 300))
    sizes = {name: len(rows) / len(classes) for name, rows in by_chance(classes, test_fraction=0.1).items()}
    assert sizes == pytest.approx({"train": 0.65, "valid": 0.25, "test": 0.1}, abs=0.02)


def test_classes_of_single_rows_cannot_be_held_out():
    with pytest.raises(
        ValueError, match=r"gives none of 30 rows to valid: of each class, or of all, one row is left to train on"
    ):
        by_chance(range(30))


def folds_of(kind, values, classes=None, **changes):
    """The splits of each fold of three."""
    frame = pd.DataFrame({"key": values})
    column = None if kind == "random" else "key"
    return [splitting(kind, column, fold=fold, num_folds=3, **changes).divide(frame, classes) for fold in range(3)]


@pytest.mark.parametrize("kind", ["random", "group"])
def test_folds_test_every_row_once_and_train_on_the_others(kind):
    folds = folds_of(kind, np.arange(90) // 3)
    assert sorted(np.concatenate([fold["test"] for fold in folds])) == list(range(90))
    for fold in folds:
        assert sorted(np.concatenate(list(fold.values()))) == list(range(90))
        assert {name: len(rows) for name, rows in fold.items()} == {"train": 45, "valid": 15, "test": 30}


def test_a_group_is_not_torn_apart_by_a_fold():
    groups = np.random.default_rng(0).integers(0, 20, 200)
    for fold in folds_of("group", groups):
        assert sum(len(set(groups[rows])) for rows in fold.values()) == 20


def test_each_class_has_the_same_share_in_each_fold():
    classes = np.array([7] * 12 + [3] * 24)
    assert [(classes[fold["test"]] == 7).sum() for fold in folds_of("random", classes, classes)] == [4, 4, 4]


def test_a_fold_by_time_is_trained_on_what_came_before_it():
    folds = folds_of("time", [3, 1, 2, 8, 5, 4, 7, 6], valid_fraction=0.5, test_from=2, valid_from=1)
    assert [fold["test"].tolist() for fold in folds] == [[0, 5], [4, 7], [3, 6]]
    assert [sorted([*fold["train"], *fold["valid"]]) for fold in folds] == [[1, 2], [0, 1, 2, 5], [0, 1, 2, 4, 5, 7]]
    assert folds[2]["valid"].tolist() == [4, 5, 7]  # the last ones, whatever test_from and valid_from


def test_folds_of_another_choice_than_theirs_are_other_rows():
    rule = {"split": "random", "valid_fraction": 0.25, "seed": 0}
    assert splitting(fold=1).rule == rule | {"fold": 1, "num_folds": 5}
    assert splitting().rule == rule | {"test_fraction": 0.125}


def test_a_column_that_names_the_splits_has_no_folds():
    with pytest.raises(ValueError, match=r"fold holds out rows by split=random, group or time; got split=column"):
        splitting("column", "key", fold=0)


@pytest.mark.parametrize("rows", range(3, 12))
def test_a_few_rows_are_divided_too(rows):
    sizes = {name: len(found) for name, found in by_chance([0] * rows, valid_fraction=0.1, test_fraction=0.1).items()}
    assert sizes == {"train": rows - 2, "valid": 1, "test": 1}


@pytest.mark.parametrize(("rows", "name"), [(1, "valid"), (2, "valid")])
def test_one_or_two_rows_cannot_be_divided(rows, name):
    with pytest.raises(ValueError, match=rf"gives none of {rows} rows to {name}: .*set datamodule.test_fraction=0"):
        by_chance([0] * rows, valid_fraction=0.1, test_fraction=0.1)
