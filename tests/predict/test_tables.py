import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose, assert_array_equal
from omegaconf import OmegaConf

import predict
from src.core.errors import ConfigError
from src.datamodules.tables.processing import TableProcessing
from src.predict import tables as predict_table
from src.training.checkpoint import load_model
from tests.support.programs import composed, program
from tests.support.tiny import trainer

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "code": RANDOM.choice(["007", "08", "1", None], 50),
        "shop": RANDOM.choice(["a", "b"], 50),
        "size": RANDOM.normal(5, 3, 50),
        "day": [f"2020-01-{day % 28 + 1:02}" for day in range(50)],
        "key": [f"0{row}" for row in range(50)],
        "late": RANDOM.choice(["no", "yes"], 50),
        "sales": RANDOM.uniform(1000, 2000, 50),
        "visits": RANDOM.uniform(10, 20, 50),
    }
)
CHOICES = {
    "categorical": ["code", "shop"],
    "continuous": ["size"],
    "dates": ["day"],
    "min_freq": 1,
    "continuous_scaling": "standardise",
    "clip_numbers": False,
    "target_scaling": "log",
    "date_parts": ["day_of_week", "elapsed"],
    "date_format": None,
    "positive": None,
}
CLASSES = {"target": "late", "task": "binary"}
VALUES = {"target": ["sales", "visits"], "task": "regression"}


def save(path, seed=0, **target):
    """A checkpoint as a training of no steps would write it."""
    processing = TableProcessing(**CHOICES, **target)
    processing.fit(FRAME)
    config = OmegaConf.to_container(composed("~experiment", "model=tabular_model", "datamodule=table_data").model)
    model = instantiate(config, _convert_="all")
    model.hparams["model"] = config
    model.hparams["spec"] = {
        "task": processing.task,
        "category_sizes": processing.category_sizes,
        "num_continuous": len(processing.continuous_names),
        "num_outputs": processing.num_outputs,
        "class_names": processing.class_names,
        "continuous_bins": [],
        "target_range": [],
        "processing": processing.state,
    }
    torch.manual_seed(seed)
    model.configure_model()
    torch.nn.init.normal_(model.net.embedding.table)  # else all categories are nearly one
    torch.save({"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return save(tmp_path_factory.mktemp("classes") / "a.ckpt", **CLASSES)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return save(tmp_path_factory.mktemp("values") / "a.ckpt", **VALUES)


@pytest.fixture
def source(tmp_path):
    """The rows in a file, without targets."""
    FRAME.drop(columns=["late", "sales", "visits"]).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def run(checkpoint, source, *overrides, output="out/pred.csv"):
    """The output of predict.py."""
    output = source.parent / output
    places = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}")
    assert predict.run(composed(*places, *overrides, "device=cpu", name="predict")) == 0
    return pd.read_csv(output) if output.suffix == ".csv" else pd.read_parquet(output)


def expected(checkpoint):
    """What the model says of FRAME."""
    model = load_model(checkpoint)
    processing = TableProcessing.from_state(model.hparams["spec"]["processing"])
    return model.predict(*map(torch.from_numpy, processing.encode(FRAME))).detach().numpy()


def test_each_row_gets_its_number_its_label_and_the_probabilities(classes, source):
    found = run(classes, source)
    assert list(found.columns) == ["row", "label", "no", "yes"]
    assert found["row"].tolist() == list(range(1, 51))
    assert_allclose(found[["no", "yes"]], expected(classes), atol=1e-6)
    assert set(found["label"]) == {"no", "yes"}
    assert_array_equal(found["label"] == "yes", found["yes"] > found["no"])


def test_values_are_in_the_units_of_the_targets(values, source):
    found = run(values, source)
    assert list(found.columns) == ["row", "sales", "visits"]
    assert_allclose(found[["sales", "visits"]], expected(values), rtol=1e-5)
    assert found["sales"].between(100, 20_000).all()


def test_an_interval_has_columns_for_both_ends_of_each_target(values, source, tmp_path):
    content = torch.load(values)
    content["hyper_parameters"]["valid_errors"] = {"rows": 19, "ranks": [18, 19], "errors": [[0.1, 0.2], [1.0, 2.0]]}
    torch.save(content, tmp_path / "b.ckpt")
    found = run(tmp_path / "b.ckpt", source, "interval=0.9")
    assert list(found.columns) == ["row", "sales", "visits", "sales low", "sales high", "visits low", "visits high"]
    std = dict(
        zip(["sales", "visits"], content["hyper_parameters"]["spec"]["processing"]["target"]["std"], strict=True)
    )
    for name, error in (("sales", 0.1), ("visits", 0.2)):  # in deviations of the logarithm
        factor = np.exp(error * std[name])
        assert_allclose(found[f"{name} low"], found[name] / factor, rtol=1e-5)
        assert_allclose(found[f"{name} high"], found[name] * factor, rtol=1e-5)


def test_an_interval_of_classes_is_refused(classes, source):
    with pytest.raises(ValueError, match="intervals are for regression"):
        run(classes, source, "interval=0.9")


def test_parquet_holds_the_same_as_csv(classes, source):
    found = run(classes, source, output="pred.parquet")
    pd.testing.assert_frame_equal(found, run(classes, source), check_dtype=False, atol=1e-6)
    assert found["yes"].dtype == np.float32


def test_the_size_of_chunks_changes_nothing(classes, source, monkeypatch):
    whole = run(classes, source, output="pred.parquet")
    monkeypatch.setattr(predict_table, "READ_ROWS", 7)
    monkeypatch.setattr(predict_table, "NET_ROWS", 3)
    pd.testing.assert_frame_equal(run(classes, source, output="pred.parquet"), whole, atol=1e-6)


@pytest.mark.parametrize("output", ["pred.csv", "pred.parquet"])
def test_rows_may_keep_their_ids(classes, source, output):
    run(classes, source, "id=key", output=output)
    path = source.parent / output
    found = pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
    assert found["key"].tolist() == FRAME["key"].tolist()
    assert "row" not in found


def test_text_in_digits_stays_text(classes, source):
    """A chunk of the codes 007 alone could be read as numbers."""
    FRAME[FRAME["code"] == "007"].to_csv(source, index=False)
    assert_allclose(run(classes, source)["yes"], expected(classes)[FRAME["code"] == "007", 1], atol=1e-6)


def test_categories_that_training_has_not_seen_are_unknown(classes, source):
    unseen = FRAME.assign(shop="new")
    unseen.to_csv(source, index=False)
    found = run(classes, source)
    unseen.assign(shop="another").to_csv(source, index=False)
    assert run(classes, source).equals(found)
    assert (found["yes"] != expected(classes)[:, 1]).all()


def test_a_checkpoint_predicts_alone_as_in_training(tmp_path):
    FRAME.to_csv(tmp_path / "all.csv", index=False)
    FRAME.assign(split=["train", "valid"] * 25).to_csv(tmp_path / "split.csv", index=False)
    table = {"train_files": "split.csv", "target": "late", "task": "binary", "split": "column", "split_column": "split"}
    places = [f"data_dir={tmp_path}", f"cache_dir={tmp_path}/cache", f"run_dir={tmp_path}", "datamodule.batch_size=5"]
    chosen = [f"datamodule.{name}={value}" for name, value in table.items()]
    config = composed("~experiment", "datamodule=table", "model=tabular_model", *places, *chosen)
    model, data = instantiate(config.model, _convert_="all"), instantiate(config.datamodule, _convert_="all")
    model.hparams["model"] = OmegaConf.to_container(config.model)
    fitting = trainer()
    fitting.fit(model, data)
    fitting.save_checkpoint(tmp_path / "a.ckpt")
    rows = data.splits["valid"]
    in_training = model.eval().predict(rows.categories.long(), rows.continuous).detach().numpy()
    found = run(tmp_path / "a.ckpt", tmp_path / "all.csv")
    assert_allclose(found[["no", "yes"]][1::2], in_training, atol=1e-6)


def spoiled(source, monkeypatch, **columns):
    """The table with other columns, read by chunks of 20 rows."""
    monkeypatch.setattr(predict_table, "READ_ROWS", 20)
    FRAME.assign(**columns).to_csv(source, index=False)


def test_a_value_that_is_no_number_is_named_with_file_column_and_row(classes, source, monkeypatch):
    spoiled(source, monkeypatch, size=["4"] * 33 + ["much"] + ["5"] * 16)
    with pytest.raises(ValueError, match=r"the column 'size' must hold finite numbers: \S+new.csv, row 34 has 'much'"):
        run(classes, source)


def test_a_value_that_is_no_date_is_named_with_file_column_and_row(classes, source, monkeypatch):
    spoiled(source, monkeypatch, day=["2020-01-01"] * 45 + ["today"] * 5)
    with pytest.raises(ValueError, match=r"the date column 'day' .*new.csv, row 46 has 'today'"):
        run(classes, source)


def test_a_failure_leaves_the_older_output_and_no_rest(classes, source, monkeypatch):
    spoiled(source, monkeypatch, size=["4"] * 33 + ["much"] + ["5"] * 16)
    output = source.parent / "pred.csv"
    output.write_text("older")
    with pytest.raises(ValueError, match="row 34"):
        run(classes, source, output="pred.csv")
    assert output.read_text() == "older"
    assert {path.name for path in source.parent.iterdir()} == {"new.csv", "pred.csv"}


@pytest.mark.parametrize(
    ("rename", "overrides", "message"),
    [
        ({"size": "Size"}, [], r"new.csv: the table has no column 'size'; did you mean 'Size'\?"),
        ({}, ["id=kye"], r"new.csv: the table has no column 'kye'; did you mean 'key'\?"),
        ({"key": "yes"}, ["id='yes'"], "two columns of one name, yes, label, no, yes: choose another id"),
    ],
)
def test_columns_that_are_not_there_or_twice_are_named(classes, source, rename, overrides, message):
    FRAME.rename(columns=rename).to_csv(source, index=False)
    with pytest.raises(ValueError, match=message):
        run(classes, source, *overrides)


def test_one_table_is_predicted_at_a_time(source):
    FRAME.to_csv(source.parent / "more.csv")
    with pytest.raises(ConfigError, match=r"names 2 tables: predict them one by one"):
        predict_table.check({"input": f"{source.parent}/*.csv", "output": "pred.csv"})


def test_the_program_writes_the_output_and_shows_its_first_rows(classes, source, tmp_path):
    finished = program("predict.py", f"checkpoint={classes}", f"input={source}", "output=pred.parquet", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].split() == ["row", "label", "no", "yes"]
    assert lines[-2].split()[0] == "10"
    assert lines[-1] == "50 predictions in pred.parquet"


def test_an_id_that_a_spreadsheet_would_run_stays_text(classes, source, capsys):
    frame = pd.read_csv(source, dtype=str)
    frame["key"] = ["=1+1", "-2+3", "@a", "-5", *frame["key"][4:]]
    frame.to_csv(source, index=False)
    run(classes, source, "id=key")
    found = pd.read_csv(source.parent / "out" / "pred.csv", dtype=str)
    assert found["key"].tolist()[:5] == ["'=1+1", "'-2+3", "'@a", "-5", "04"]
    assert "note: 3 cells of" in capsys.readouterr().err
    run(classes, source, "id=key", output="pred.parquet")
    assert pd.read_parquet(source.parent / "pred.parquet")["key"].tolist()[0] == "=1+1"


def test_rows_outside_the_range_of_training_are_counted_and_marked(classes, source, capsys):
    frame = FRAME.drop(columns=["late"]).assign(size=FRAME["size"].clip(0, 4))
    frame.loc[[3, 7], "size"] = [1e6, -1e6]
    frame.loc[7, "day"] = "2031-01-01"
    frame.to_csv(source, index=False)
    found = run(classes, source, "flag_outside=true")["outside"].fillna("").tolist()
    assert {row: text for row, text in enumerate(found) if text} == {3: "size", 7: "size;day_elapsed"}
    assert (
        "note: 2 of 50 rows have numbers outside the range of the training rows (size in 2, day_elapsed in 1): such "
        "answers are guesses; flag_outside=true marks these rows"
    ) in capsys.readouterr().err


def test_rows_like_those_of_training_are_not_told(classes, source, capsys):
    assert "outside" not in run(classes, source)
    assert "range" not in capsys.readouterr().err
