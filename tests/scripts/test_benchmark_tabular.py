"""The loops and fastlight train on a small table; speeds are made up."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from scripts import benchmark_tabular
from scripts.benchmark_tabular import VARIANTS, lightning, main, plain_net, rows_per_epoch, rows_per_second
from src.core.errors import ConfigError
from src.models.dropout import Dropout
from tests.support.programs import composed


@pytest.fixture
def overrides(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"town": generator.choice(list("abc"), 200), "size": generator.normal(size=200)})
    frame["late"] = np.where(frame["size"] > 0, "yes", "no")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return [
        *("experiment=table", "datamodule.train_files=rows.csv", "datamodule.target=late", "datamodule.task=binary"),
        *(f"data_dir={tmp_path}", f"cache_dir={tmp_path}/cache", "datamodule.batch_size=32", "trainer.max_epochs=2"),
        *("model/net=entity_mlp", "model.net.widths=[4]", "callbacks=none", "logger=none"),
    ]


def test_the_rows_of_an_epoch_are_those_of_whole_batches(overrides):
    assert rows_per_epoch(composed(*overrides, "run_dir=.")) % 32 == 0


@pytest.mark.parametrize("changes", [["model.net.num_members=2"], ["model.net.y_range=[0,1]"]])
def test_a_net_that_the_loops_cannot_train_is_refused(changes, overrides):
    with pytest.raises(ConfigError, match="the loops train a single net on a binary task: choose adult or flights"):
        rows_per_epoch(composed(*overrides, *changes, "run_dir=."))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_trains(name, overrides, monkeypatch):
    rows_per_epoch(composed(*overrides, "run_dir=."))  # encodes them
    clock = iter([2.0, 4.5, 9.0])
    monkeypatch.setattr(benchmark_tabular.time, "process_time", lambda: next(clock))
    threads = torch.get_num_threads()
    assert rows_per_second(name, overrides=overrides, rows=10) == {"rows/s": 4.0}
    torch.set_num_threads(threads)


def test_a_plain_net_has_torchs_own_layers_of_the_same_sizes(overrides):
    cfg = composed(*overrides, "run_dir=.")
    data, model = instantiate(cfg.datamodule, _convert_="all"), instantiate(cfg.model, _convert_="all")
    data.prepare_data()
    data.setup("fit")
    model.hparams["spec"] = data.spec
    model.configure_model()
    widths = model.net.embedding.widths.tolist()
    categories, continuous = torch.zeros(7, 1, dtype=torch.long), torch.randn(7, 1)
    shape = model.net(categories, continuous).shape
    plain = plain_net(model.net)
    assert [layer.embedding_dim for layer in plain.embedding.columns] == widths
    assert not [layer for layer in plain.modules() if isinstance(layer, Dropout)]
    assert plain(categories, continuous).shape == shape


def test_the_last_line_has_the_ratios(overrides, monkeypatch, capsys):
    speeds = {"plain": 1000.0, "bare": 2000.0, "lightning": 1500.0}
    monkeypatch.setattr(benchmark_tabular, "medians_of_turns", lambda *_, repeats: {"rows/s": speeds})
    main(overrides)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["ratio"], result["ratio_to_plain"]) == (0.75, 1.5)
    assert result["rows"] % 64 == 0
    assert result["batch_size"] == 32


def test_a_run_that_keeps_no_config_says_nothing_of_a_report(overrides, tmp_path, capsys):
    parts = [part for part in overrides if part != "callbacks=none"]
    lightning(composed(*parts, "callbacks=tables", f"run_dir={tmp_path}/run", "trainer.log_every_n_steps=1"))
    assert "report.html" not in capsys.readouterr().err
