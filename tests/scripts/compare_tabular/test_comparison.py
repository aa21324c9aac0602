"""The comparison of a net's embeddings with other ways to read categories."""

import json

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits
from torch import nn

from scripts.compare_tabular import __main__ as program
from scripts.compare_tabular import comparison as comparison_module
from scripts.compare_tabular.comparison import Comparison
from tests.support.table_of_frame import table_of

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
    "model.net.widths=[32]",
    "model.net.embedding_width=4",
]


def write_fares(folder, rows):
    """Towns on a circle, in no order: a fare says how far one is from the other, each town alone says nothing."""
    generator = np.random.default_rng(0)
    angles = generator.uniform(0, 2 * np.pi, TOWNS)
    towns = generator.integers(TOWNS, size=(rows, 2))
    fares = 10 - 5 * np.cos(angles[towns[:, 0]] - angles[towns[:, 1]])
    names = {"origin": towns[:, 0], "destination": towns[:, 1], "fare": fares.round(2)}
    pd.DataFrame(names).to_csv(folder / "fares.csv", index=False)


def compare(folder, capsys, *choices, rows):
    """Run the script on the fares; returns its lines and its output folder."""
    write_fares(folder, rows)
    places = [f"data_dir={folder}", f"cache_dir={folder}/cache", "--out", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(comparison_module, "NET_TRIES", comparison_module.NET_TRIES[:1])
        program.main([*CHOICES, *choices, *places, "--seeds", "1", "--models", "KNN", "forest"])
    return capsys.readouterr().out.splitlines(), folder / "out"


def test_all_models_and_features_are_shown_written_and_drawn(tmp_path, capsys):
    lines, out = compare(tmp_path, capsys, "trainer.max_epochs=1", rows=300)
    header = next(line for line in lines if line.startswith("| test/mape"))
    models = [line.split()[1] for line in lines[lines.index(header) + 2 :] if line.startswith("|")]
    assert models == ["KNN", "forest", "net"]
    results = pd.read_csv(out / "comparison.csv")
    assert len(results) == 4 + 3 + 3  # KNN has native categories
    assert json.loads(results["settings"][0]) == {"model.lr": 1.0, "trainer.max_epochs": 1.0}
    assert (out / "comparison.png").read_bytes()[1:4] == b"PNG"
    summary = json.loads(lines[-1])
    assert summary["score"] == "mape"
    assert summary["net"].keys() == {"codes", "targets", "embeddings"}


@pytest.mark.long
def test_embeddings_help_where_categories_have_a_hidden_order(tmp_path, capsys):
    lines, _ = compare(tmp_path, capsys, "trainer.max_epochs=25", rows=2500)
    errors = json.loads(lines[-1])
    for model in ("KNN", "forest"):
        for control in ("codes", "targets"):
            # 0.2 to 0.6, depending on the threads that the net is trained with
            assert errors[model]["embeddings"] < 0.8 * errors[model][control]


def test_a_table_without_categories_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        compare(tmp_path, capsys, "datamodule.categorical=[]", "datamodule.continuous=[origin,destination]", rows=99)
    assert "the comparison needs categories, got none" in capsys.readouterr().err


def comparison(monkeypatch, *, in_fold):
    """A comparison on 9 rows with different targets, and the targets that each net has seen."""
    seen = []

    def train_net(cfg, spec, rows, factors, seed):
        seen.append(rows.targets[:, 0].tolist())
        net = nn.Module()
        net.embedding = nn.EmbeddingBag(20, 2)
        model = nn.Module()
        model.net = net
        return model

    monkeypatch.setattr(comparison_module, "train_net", train_net)
    here = table_of(pd.DataFrame({"c": range(9), "y": np.arange(9.0)}))
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


def test_tuning_knows_only_the_validation_rows(monkeypatch):
    found, _ = comparison(monkeypatch, in_fold=False)
    truth = np.arange(9.0)[:, None]
    outputs = {1: {"valid": truth + 0.1, "test": truth + 9}, 2: {"valid": truth + 0.5, "test": truth}}
    found._best_of("KNN", "codes", 0, [{"n": 1}, {"n": 2}], lambda settings: outputs[settings["n"]].get)
    assert found.chosen["KNN", "codes"] == {"n": 1}
    assert found.results[0]["test/rmse"] == pytest.approx(9)


@pytest.mark.parametrize(("score", "best"), [("auroc", 2), ("rmse", 1)])
def test_the_best_try_has_the_highest_auroc_or_the_lowest_error(score, best, monkeypatch):
    found, _ = comparison(monkeypatch, in_fold=False)

    class Scored:
        def scores(self, value, split):
            return {score: value}

    Scored.score = score
    found.table = Scored()
    outputs = {1: {"valid": 0.25, "test": 5.0}, 2: {"valid": 0.75, "test": 6.0}}
    found._best_of("KNN", "codes", 0, [{"n": 1}, {"n": 2}], lambda settings: outputs[settings["n"]].get)
    assert found.chosen["KNN", "codes"] == {"n": best}


def test_later_seeds_keep_the_settings_of_the_first(monkeypatch):
    found, _ = comparison(monkeypatch, in_fold=False)
    truth, tried = np.arange(9.0)[:, None], []

    def fit(settings):
        tried.append(settings["n"])
        return lambda split: truth + settings["n"]

    for seed in (0, 1):
        found._best_of("KNN", "codes", seed, [{"n": 2}, {"n": 1}], fit)
    assert tried == [2, 1, 1]
    assert [row["seed"] for row in found.results] == [0, 1]


def test_a_slow_model_is_fitted_on_some_rows_of_each_part(monkeypatch):
    found, _ = comparison(monkeypatch, in_fold=False)
    found.models, found.max_rows, sizes = ["KNN", "boosting"], 6, {}
    monkeypatch.setattr(found, "_net", lambda features, table, seed: None)

    def fit_rival(rival, settings, table, parts, seed):
        sizes.setdefault(rival.is_slow, set()).add(tuple(len(part.targets) for part in parts))
        return lambda split: np.zeros((9, 1))

    monkeypatch.setattr(comparison_module, "fit_rival", fit_rival)
    found.run(0)
    assert sizes == {True: {(6,), (3, 3)}, False: {(9,), (4, 5)}}
