import numpy as np
import pandas as pd
import pytest
import torch

from src.datamodules.cache import CacheFolder
from src.datamodules.tables import encoded
from src.datamodules.tables.encoded import MAX_BINS, bins_of, edges_of_bins, read_table_cache, write_table
from src.datamodules.tables.processing import TableProcessing


def table(rows=9, levels=3):
    """Rows of a category, numbers 0, 10, 20, ..., and two targets."""
    numbers = np.arange(rows)
    return pd.DataFrame(
        {"key": numbers % levels, "size": numbers * 10.0, "height": numbers + 1.0, "width": 2.0 * numbers}
    )


def processing(frame, **changes):
    choices = {"target": ["height", "width"], "task": "regression", "categorical": ["key"], "continuous": ["size"]}
    choices |= {"dates": [], "min_freq": 1, "continuous_scaling": "standardise", "target_scaling": "none"}
    made = TableProcessing(
        **{**choices, "date_parts": [], "date_format": None, "positive": None, "clip_numbers": False, **changes}
    )
    made.fit(frame)
    return made


def written(folder, frame, **changes):
    """Of `frame`, rows 1, 3, 4 and so on are to train on, 2 and 0 to validate on."""
    made = processing(frame, **changes)
    splits = {"train": (frame, np.array([1, *range(3, len(frame))])), "valid": (frame, np.array([2, 0]))}
    cache = CacheFolder(folder / "cache" / "table")
    cache.build(lambda folder: write_table(folder, splits, made))
    return read_table_cache(cache)


def test_each_split_has_its_own_rows_in_their_order(tmp_path):
    _, splits = written(tmp_path, table())
    assert splits["valid"].targets.tolist() == [[3, 4], [1, 0]]
    assert splits["train"].targets[:2].tolist() == [[2, 2], [4, 6]]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_rows_encoded_in_chunks_are_those_encoded_at_once(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(encoded, "CHUNK", rows)
    frame = table()
    _, splits = written(tmp_path, frame)
    categories, continuous = processing(frame).encode(frame.iloc[[1, 3, 4, 5, 6, 7, 8]])
    assert splits["train"].categories.tolist() == categories.tolist()
    assert splits["train"].continuous.tolist() == continuous.tolist()


def test_a_full_disk_is_told_before_a_row_is_encoded(small_disk, monkeypatch):
    monkeypatch.setattr(encoded, "_encode_into", lambda *arguments: 1 / 0)
    # 9,000 rows of 1 + 4 + 2 * 4 bytes, and the heads of six files
    words = r"No space left on device, 117,768 bytes are needed and [\d,]+ left; choose another cache_dir"
    with pytest.raises(OSError, match=rf"cannot write {small_disk}/cache/table: {words}"):
        written(small_disk, table(9_000))
    assert [path.name for path in (small_disk / "cache").iterdir()] == ["table.lock"]


@pytest.mark.parametrize(("levels", "dtype"), [(126, torch.int8), (127, torch.int16)])
def test_codes_are_in_the_smallest_integers_that_hold_them(tmp_path, levels, dtype):
    spec, splits = written(tmp_path, table(300, levels))  # codes 0 ... levels + 1
    assert spec["category_sizes"] == [levels + 2]
    assert splits["train"].categories.dtype == dtype
    assert splits["train"].categories.max() == levels + 1


def test_the_spec_tells_what_a_net_must_know(tmp_path):
    frame = table()
    spec, _ = written(tmp_path, frame)
    state = spec.pop("processing")
    bins = spec.pop("continuous_bins")
    assert spec == {
        "task": "regression",
        "category_sizes": [5],
        "num_continuous": 1,
        "num_outputs": 2,
        "class_names": [],
        "target_range": [[2, 9], [2, 16]],
    }
    assert TableProcessing.from_state(state).encode(frame)[0].tolist() == processing(frame).encode(frame)[0].tolist()
    assert len(bins) == 1


def test_bins_hold_as_many_training_rows_each(tmp_path):
    spec, splits = written(tmp_path, table(962))
    counts, _ = np.histogram(splits["train"].continuous, spec["continuous_bins"][0])
    assert counts.tolist() == [20] * 48


def test_repeated_numbers_share_a_bin():
    assert edges_of_bins(np.array([0.0] * 90 + [1.0] * 10), MAX_BINS) == [0, 1]


@pytest.mark.parametrize(("columns", "bins"), [(1, 48), (341, 48), (1700, 9), (20_000, 2)])
def test_many_columns_have_few_bins(columns, bins):
    assert {len(edges) - 1 for edges in bins_of(np.tile(np.arange(100.0)[:, None], columns))} == {bins}


def test_a_number_that_never_varies_has_one_bin(tmp_path):
    spec, _ = written(tmp_path, table().assign(size=7.0))
    assert spec["continuous_bins"] == [[0, 1]]


def test_a_table_may_lack_categories_or_numbers(tmp_path):
    _, numbers = written(tmp_path / "a", table(), categorical=[])
    _, categories = written(tmp_path / "b", table(), continuous=[])
    assert numbers["train"].categories.shape == (7, 0)
    assert categories["train"].continuous.shape == (7, 0)


def test_classes_are_whole_numbers_and_have_no_range(tmp_path):
    changes = {"target": "key", "task": "multiclass", "categorical": []}
    spec, splits = written(tmp_path, table(), **changes)
    assert (spec["num_outputs"], spec["class_names"], spec["target_range"]) == (3, ["0", "1", "2"], [])
    assert splits["train"].targets.tolist() == [1, 0, 1, 2, 0, 1, 2]
    assert splits["train"].targets.dtype == torch.int64
