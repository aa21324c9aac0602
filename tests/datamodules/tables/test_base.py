import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from src.datamodules.tables.base import TableData
from tests.support.make_data import table_settings


def people(rows, seed=0):
    """A category, a number, a date, a group and a target that is yes in a quarter of the rows."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "town": random.choice(["Bonn", "Kiel", None], rows),
            "size": random.normal(5, 3, rows),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(rows), "D"),
            "group": np.arange(rows) // 4,
            "target": np.where(np.arange(rows) % 4, "no", "yes"),
        },
        index=pd.RangeIndex(1, rows + 1, name="people.csv, row"),
    )


class People(TableData):
    """80 rows, unless a test says otherwise."""

    set_name = "people"

    def __init__(self, frames, **table_data):
        super().__init__(**table_data)
        self.given = frames

    def fingerprint(self):
        return str({name: pd.util.hash_pandas_object(frame).sum() for name, frame in self.given.items()})

    def frames(self):
        return self.given


@pytest.fixture
def make(tmp_path):
    """Makes the set with changed settings, prepared and set up."""

    def make(train=None, frames=None, **changes):
        given = {"train": people(80) if train is None else train, **(frames or {})}
        data = People(given, cache_dir=str(tmp_path / "cache"), **table_settings(**changes))
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def sizes(data):
    return {name: len(rows.targets) for name, rows in data.splits.items()}


def used(data):
    """The columns that the net's inputs are made of."""
    choices = data.spec["processing"]["choices"]
    return {kind: choices[kind] for kind in ("categorical", "continuous", "dates")}


def test_batches_are_categories_numbers_and_targets(make):
    data = make()
    batch = next(iter(data.train_dataloader()))
    categories, continuous, targets = data.on_after_batch_transfer(batch, 0)
    assert (categories.dtype, categories.shape) == (torch.int64, (4, 3))  # town, month, day of week
    assert (continuous.dtype, continuous.shape) == (torch.float32, (4, 3))  # size, group, days
    assert (targets.dtype, targets.shape) == (torch.int64, (4,))


def test_targets_of_regression_are_scaled_numbers(make):
    data = make(target=["size", "group"], task="regression")
    _, _, targets = next(iter(data.train_dataloader()))
    assert (targets.dtype, targets.shape) == (torch.float32, (4, 2))
    assert data.splits["train"].targets.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_training_is_shuffled_and_the_rest_is_not(make):
    data = make()
    assert torch.equal(torch.cat([batch[1] for batch in data.val_dataloader()]), data.splits["valid"].continuous)
    assert not torch.equal(torch.cat([batch[1] for batch in data.train_dataloader()]), data.splits["train"].continuous)


def test_a_last_batch_that_is_not_full_may_be_dropped_from_training_only(make):
    data = make(batch_size=7, drop_last=True)
    assert [len(targets) for *_, targets in data.train_dataloader()] == [7] * 7
    assert [len(targets) for *_, targets in data.test_dataloader()] == [7, 3]


def test_a_rank_reads_its_own_rows(make):
    data = make(batch_size=2)
    whole = next(iter(make().train_dataloader()))[1]
    for rank in (0, 1):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        assert torch.equal(next(iter(data.train_dataloader()))[1], whole[rank::2])


def test_a_kept_table_is_moved_once(make):
    data = make(keep_on_device=True)
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=SimpleNamespace(root_device="meta"))
    assert {tensor.device.type for tensor in data.val_dataloader().tensors} == {"meta"}
    assert data.splits["valid"].targets.device.type == "meta"


def test_classes_have_the_same_share_in_each_split(make):
    data = make(valid_fraction=0.3, test_fraction=0.1)
    assert sizes(data) == {"train": 48, "valid": 24, "test": 8}
    assert {name: int(rows.targets.sum()) for name, rows in data.splits.items()} == {"train": 12, "valid": 6, "test": 2}


def test_splits_of_their_own_are_used_and_the_others_taken_from_train(make):
    assert sizes(make(frames={"test": people(6)})) == {"train": 60, "valid": 20, "test": 6}
    assert sizes(make(frames={"valid": people(6)})) == {"train": 70, "valid": 6, "test": 10}
    assert sizes(make(frames={"valid": people(5), "test": people(6)})) == {"train": 80, "valid": 5, "test": 6}


def test_without_a_test_split_validation_rows_are_scored_and_a_line_says_so(make, capsys):
    data = make(test_fraction=0)
    data.setup("test")
    assert data.splits["test"] is data.splits["valid"]
    assert capsys.readouterr().out.count("there is no test split") == 1


def test_a_split_by_time_holds_the_last_days_out(make):
    data = make(split="time", split_column="day", valid_from="2020-03-01", test_from="2020-03-11")
    assert sizes(data) == {"train": 60, "valid": 10, "test": 10}


@pytest.mark.parametrize("name", ["valid", "test"])
@pytest.mark.parametrize("split", ["random", "group", "time"])
def test_nothing_is_learned_from_rows_held_out(make, split, name):
    column = {"random": None, "group": "group", "time": "day"}[split]
    choices = {"split": split, "split_column": column, "ignored": ["group"], "date_parts": ["month"]}
    frame = people(80)
    before = make(frame, **choices)
    rows = before.splitting.divide(frame, frame["target"].eq("yes").to_numpy())[name]
    changed = frame.copy()
    changed.loc[rows + 1, "town"] = "Ulm"
    changed.loc[rows + 1, "size"] = np.nan
    after = make(changed, **choices)
    assert not torch.equal(after.splits[name].categories, before.splits[name].categories)
    assert after.spec == before.spec


def test_a_changed_training_row_shows_in_the_spec(make):
    frame = people(80)
    before = make(frame, valid_fraction=0.02, test_fraction=0)
    assert make(frame.replace({"town": {"Kiel": "Ulm"}}), valid_fraction=0.02, test_fraction=0).spec != before.spec


def test_columns_are_chosen_and_the_choice_is_printed(make, capsys):
    data = make()
    assert used(data) == {"categorical": ["town"], "continuous": ["size", "group"], "dates": ["day"]}
    printed = capsys.readouterr().out
    assert all(name in printed for name in used(data)["continuous"])
    assert printed.endswith("people: train 50, valid 20, test 10 rows, 3 categorical and 3 continuous inputs\n")


def test_named_columns_are_used_and_others_of_their_kind_are_not(make):
    data = make(categorical=["group"], continuous=[])
    assert used(data) == {"categorical": ["group"], "continuous": [], "dates": ["day"]}


def test_where_all_columns_are_named_nothing_is_chosen(make, capsys):
    make(categorical=["town"], continuous=["size"], dates=[])
    assert "auto" not in capsys.readouterr().out


def test_ignored_columns_are_not_chosen(make):
    assert used(make(ignored=["size", "day"])) == {"categorical": ["town"], "continuous": ["group"], "dates": []}


def test_groups_and_names_of_splits_are_not_chosen(make):
    assert used(make(split="group", split_column="group"))["continuous"] == ["size"]
    assert used(make(split="time", split_column="group"))["continuous"] == ["size", "group"]


def test_setup_reads_what_prepare_data_built(make, monkeypatch):
    first = make()
    monkeypatch.setattr(People, "frames", None)
    again = make()
    assert again.spec == first.spec
    assert torch.equal(again.splits["train"].continuous, first.splits["train"].continuous)


def test_setup_before_prepare_data_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="call prepare_data before setup"):
        People({"train": people(80)}, cache_dir=str(tmp_path), **table_settings()).setup("fit")


def test_everything_that_changes_the_rows_changes_the_key(tmp_path):
    def folder(rows=80, **changes):
        return People({"train": people(rows)}, cache_dir=str(tmp_path), **table_settings(**changes)).cache.path

    changes = [{}, {"rows": 81}, {"min_freq": 2}, {"ignored": ["size"]}, {"dates": []}, {"positive": "no"}]
    changes += [{"on_missing_target": "drop"}, {"split": "group", "split_column": "group"}, {"seed": 1}]
    changes += [{"valid_fraction": 0.3}, {"target_scaling": "none"}, {"date_parts": []}, {"task": "multiclass"}]
    assert len({folder(**change) for change in changes}) == len(changes)
    assert folder(batch_size=5, drop_last=True) == folder()


def test_the_spec_is_plain_data(make):
    spec = make().spec
    assert json.loads(json.dumps(spec)) == spec
    assert spec["class_names"] == ["no", "yes"]


def test_rows_without_a_target_are_refused_with_the_way_out(make):
    frame = people(80)
    frame.loc[[7, 9], "target"] = None
    with pytest.raises(
        ValueError, match=r"2 of 80 rows have no target, such as people\.csv, row 7; set .*on_missing_target=drop"
    ):
        make(frame)


def test_rows_without_a_target_may_be_dropped(make):
    frame = people(80)
    frame.loc[[7, 9], "size"] = None
    frame.loc[9, "group"] = None
    data = make(frame, target=["size", "group"], task="regression", on_missing_target="drop")
    assert sum(sizes(data).values()) == 78


@pytest.mark.parametrize("name", ["target", "split_column", "ignored", "categorical"])
def test_a_wrong_column_is_named_with_the_one_that_was_meant(make, name):
    wrong = ["twon"] if name in ("ignored", "categorical") else "twon"
    with pytest.raises(ValueError, match="the table has no column 'twon'; did you mean 'town'"):
        make(**{name: wrong, "split": "group" if name == "split_column" else "random"})


def test_a_mistake_in_a_row_is_named_with_its_file(make):
    frame = people(80).astype({"size": object})
    frame.loc[7, "size"] = "big"
    with pytest.raises(ValueError, match=r"column 'size' .*: people\.csv, row 7 has 'big'"):
        make(frame, continuous=["size"], categorical=[], dates=[])


def test_a_table_without_rows_to_validate_on_is_refused(make):
    with pytest.raises(ValueError, match=r"there are no rows to validate on: set datamodule\.valid_fraction"):
        make(valid_fraction=0)


def test_without_a_batch_size_it_fits_the_training_rows(make):
    assert make(batch_size=None).batch_size == 8  # of 50 rows
    assert make(people(800), batch_size=None).batch_size == 32  # of 500: 15 steps
    assert make(people(8000), batch_size=None).batch_size == 256
