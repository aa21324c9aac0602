"""The comparison of a net's embeddings with other ways to read categories."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from scripts.compare_tabular import __main__ as compare_tabular
from scripts.compare_tabular.__main__ import Comparison
from scripts.compare_tabular.features import Table, as_categories, as_codes, as_one_hot, as_target_means, as_vectors
from scripts.compare_tabular.report import as_markdown, summary
from src.datamodules.tables.encoded import TableRows
from src.datamodules.tables.processing import TableProcessing

TOWNS = 50
CHOICES = [
    "experiment=rossmann",  # for its net; a table of our own
    "datamodule=table",
    "datamodule.train_files=fares.csv",
    "datamodule.target=fare",
    "datamodule.task=regression",
    "datamodule.categorical=[origin,destination]",
    "datamodule.continuous=[]",
    "datamodule.dates=[]",
    "datamodule.batch_size=32",
    "trainer.max_epochs=25",
    "model.net.widths=[32]",
    "model.net.embedding_width=4",
]


def write_fares(folder):
    """Towns on a circle, in no order: a fare tells how far one is from the other, its two towns alone tell nothing."""
    generator = np.random.default_rng(0)
    angles = generator.uniform(0, 2 * np.pi, TOWNS)
    towns = generator.integers(TOWNS, size=(2500, 2))
    fares = 10 - 5 * np.cos(angles[towns[:, 0]] - angles[towns[:, 1]])
    names = {"origin": towns[:, 0], "destination": towns[:, 1], "fare": fares.round(2)}
    pd.DataFrame(names).to_csv(folder / "fares.csv", index=False)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What the script prints and writes on the fares."""
    folder = tmp_path_factory.mktemp("compared")
    write_fares(folder)
    places = [f"data_dir={folder}", f"cache_dir={folder}/cache", "--out", str(folder / "out")]
    output = contextlib.redirect_stdout(io.StringIO())
    with pytest.MonkeyPatch.context() as patch, output as printed, threadpool_limits(1):
        patch.setattr(compare_tabular, "NET_TRIES", compare_tabular.NET_TRIES[:1])
        compare_tabular.main([*CHOICES, *places, "--seeds", "1", "--models", "KNN", "forest"])
    return printed.getvalue().splitlines(), folder / "out"


@pytest.mark.parametrize("model", ["KNN", "forest"])
@pytest.mark.parametrize("control", ["codes", "targets"])
def test_embeddings_help_where_categories_have_a_hidden_order(compared, model, control):
    errors = json.loads(compared[0][-1])[model]
    assert errors["embeddings"] < 0.8 * errors[control]  # 0.2 to 0.6, by the threads that the net is trained with


def test_the_table_shows_the_controls_beside_the_embeddings(compared):
    lines = compared[0]
    header = next(line for line in lines if line.startswith("| test/mape"))
    assert header.split() == ["|", "test/mape", "|", "codes", "|", "native", "|", "targets", "|", "embeddings", "|"]
    models = [line.split()[1] for line in lines[lines.index(header) + 2 :] if line.startswith("|")]
    assert models == ["KNN", "forest", "net"]


def test_every_result_is_a_line_of_the_csv(compared):
    results = pd.read_csv(compared[1] / "comparison.csv")
    assert len(results) == 4 + 3 + 3
    assert json.loads(results["settings"][0]) == {"model.lr": 1.0, "trainer.max_epochs": 1.0}


def test_there_is_a_picture(compared):
    assert (compared[1] / "comparison.png").read_bytes()[1:4] == b"PNG"


# ---- features ----


def table(frame, task="regression", **choices):
    """The same rows to train, validate and test on."""
    names = {"target": "y", "task": task, "categorical": ["c"], "continuous": [], "dates": [], "min_freq": 1}
    scalings = {"continuous_scaling": "standardise", "target_scaling": "none"}
    others = {"date_parts": [], "date_format": None, "positive": None}
    processing = TableProcessing(**{**names, **scalings, **others, **choices})
    processing.fit(frame)
    arrays = [*processing.encode(frame), processing.encode_target(frame)]
    spec = {"task": task, "class_names": processing.class_names, "processing": processing.state}
    return Table(spec, dict.fromkeys(("train", "valid", "test"), TableRows(*map(torch.from_numpy, arrays))))


def test_codes_are_in_the_order_of_numbers():
    part = as_codes(table(pd.DataFrame({"c": [9, 10, 10, 2, 10], "y": range(5)})), seed=0)
    assert np.argsort(part.inputs["valid"][:, 0], kind="stable").tolist() == [3, 0, 1, 2, 4]


def test_codes_are_in_the_order_of_texts():
    part = as_codes(table(pd.DataFrame({"c": ["b", "c", "c", "a"], "y": range(4)})), seed=0)
    assert np.argsort(part.inputs["valid"][:, 0], kind="stable").tolist() == [3, 0, 1, 2]


def test_native_categories_beyond_255_are_one():
    part = as_categories(table(pd.DataFrame({"c": range(300), "y": range(300)})), seed=0)
    assert sorted(set(part.inputs["train"][:, 0])) == list(range(2, 255))


def test_one_hot_categories_are_equally_far():
    rows = as_one_hot(table(pd.DataFrame({"c": ["a", "b", "d"], "y": range(3)})), seed=0).inputs["train"]
    assert rows.sum(axis=1).tolist() == [1, 1, 1]
    assert np.linalg.matrix_rank(rows) == 3


def test_the_target_mean_of_a_category_is_of_other_rows():
    part = as_target_means(table(pd.DataFrame({"c": range(40), "y": range(40)})), seed=0)
    # Each category is one row's: seen by itself its mean would be its target.
    assert abs(np.corrcoef(part.inputs["train"][:, 0], part.targets)[0, 1]) < 0.5
    assert np.corrcoef(part.inputs["valid"][:, 0], part.targets)[0, 1] > 0.99


def test_vectors_stand_in_place_of_categories():
    frame = pd.DataFrame({"c": ["a", "b", "a"], "x": [1.0, 2.0, 3.0], "y": [5.0, 6.0, 7.0]})
    here = table(frame, continuous=["x"])
    embedding = nn.EmbeddingBag(4, 3)
    part = as_vectors(here, embedding, np.array([2, 1]))
    assert part.targets.tolist() == [7, 6]
    assert part.inputs["train"].shape == (2, 4)
    assert part.inputs["train"][0, :3].tolist() == embedding.weight[2].tolist()
    assert part.inputs["valid"][:, 3].tolist() == here.splits["valid"].continuous[:, 0].tolist()


# ---- out of fold, tuning, report ----


def comparison(monkeypatch, in_fold):
    """A comparison on 9 rows of different targets, and the targets that each net has seen."""
    seen = []

    def train_net(cfg, spec, rows, factors, seed):
        seen.append(rows.targets[:, 0].tolist())
        net = nn.Module()
        net.embedding = nn.EmbeddingBag(20, 2)
        model = nn.Module()
        model.net = net
        return model

    monkeypatch.setattr(compare_tabular, "train_net", train_net)
    here = table(pd.DataFrame({"c": range(9), "y": np.arange(9.0)}))
    found = Comparison({}, here, models=[], in_fold=in_fold, max_rows=10)
    found.chosen["net", "embeddings"] = {}
    return found, seen


def test_a_rival_is_fitted_on_rows_that_its_net_has_not_seen(monkeypatch):
    found, seen = comparison(monkeypatch, in_fold=False)
    parts = found._parts_with_vectors(seed=0)
    for part, targets in zip(parts, seen, strict=True):
        assert sorted([*part.targets, *targets]) == list(range(9))


def test_in_fold_net_and_rival_see_all_rows(monkeypatch):
    found, seen = comparison(monkeypatch, in_fold=True)
    (part,) = found._parts_with_vectors(seed=0)
    assert sorted(part.targets) == sorted(seen[0]) == list(range(9))


def test_tuning_knows_the_validation_rows_alone(monkeypatch):
    found, _ = comparison(monkeypatch, in_fold=False)
    truth = np.arange(9.0)[:, None]
    outputs = {1: {"valid": truth + 0.1, "test": truth + 9}, 2: {"valid": truth + 0.5, "test": truth}}
    found._best_of("KNN", "codes", 0, [{"n": 1}, {"n": 2}], lambda settings: outputs[settings["n"]].get)
    assert found.chosen["KNN", "codes"] == {"n": 1}
    assert found.results[0]["test/rmse"] == pytest.approx(9)


def test_the_printed_table_fits_into_80_columns():
    results = [
        {"model": model, "features": features, "test/mape": 0.1 + seed / 100}
        for model in ("LightGBM", "net")
        for features in ("codes", "native", "targets", "embeddings")
        for seed in (0, 1)
    ]
    lines = as_markdown(summary(results, "mape"), "mape", num_seeds=2).split("\n")
    assert max(map(len, lines)) <= 80
    assert "0.1050±0.0050" in lines[2]
