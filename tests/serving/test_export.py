"""Exported folders serve without this project: the programs of docs/serving.md run, and say what predict.py says."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from omegaconf import OmegaConf
from PIL import Image

import predict
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.text.tokenization import decode, encode
from src.datamodules.text.vocabulary import build_spec
from src.serving.export import export
from src.serving.graphs import LARGE, served_model
from src.serving.text.graph import ServedText
from src.training.checkpoint import load_model
from tests.support import tiny_text
from tests.support.programs import ROOT, composed, program

TOLERANCE = 1e-5  # of the largest output, as conf/export.yaml has it
PAGE = (ROOT / "docs" / "serving.md").read_text()
PROGRAMS = dict(re.findall(r"```python\n# (\w+\.py).*?\n(.*?)```", PAGE, re.DOTALL))


def save(path, spec, *overrides):
    """A checkpoint as a training of no steps would write it."""
    config = OmegaConf.to_container(composed("~experiment", *overrides).model)
    model = instantiate(config, _convert_="all")
    model.hparams["model"] = config
    model.hparams["spec"] = spec
    torch.manual_seed(0)
    model.configure_model()
    if hasattr(model.net, "embedding"):  # else all categories and words are nearly one
        torch.nn.init.normal_(next(model.net.embedding.parameters()))
    torch.save({"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()}, path)
    return path


def exported(checkpoint, format="onnx"):
    """The folder, beside the checkpoint."""
    folder = checkpoint.parent / format
    export(load_model(checkpoint), folder, format=format, tolerance=TOLERANCE)
    return folder


def serve(source, *arguments, cwd):
    """What a program prints, run where nothing of this project can be imported."""
    (cwd / "serve.py").write_text(f"import sys\nassert {str(ROOT)!r} not in sys.path\n{source}")
    command = [sys.executable, "-I", "-W", "error", "serve.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def predicted(checkpoint, source, tmp_path):
    """The same by predict.py."""
    output = tmp_path / "predicted.csv"
    overrides = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}", "device=cpu")
    assert predict.run(composed(*overrides, name="predict")) == 0
    return pd.read_csv(output)


@pytest.fixture(scope="module")
def digits(digits_run, tmp_path_factory):
    """A checkpoint of a training, the folder, and the finished program that wrote it."""
    folder = tmp_path_factory.mktemp("digits") / "served"
    checkpoint = digits_run / "checkpoints" / "best.ckpt"
    finished = program("scripts.export", f"checkpoint={checkpoint}", f"output={folder}", cwd=folder.parent)
    assert finished.returncode == 0, finished.stderr
    return checkpoint, folder, finished


def test_the_program_says_what_it_wrote_and_nothing_else(digits):
    _, folder, finished = digits
    assert finished.stderr == ""
    assert re.fullmatch(
        rf"{folder}: model.onnx [\d.]+ kB, preprocessing.json [\d.]+ kB\n"
        r"differs from the net by \S+ of its largest output \(tolerance 1e-05\)\n"
        r"a call with one row: \S+ ms, the net itself \S+ ms\n",
        finished.stdout,
    )
    assert sorted(path.name for path in folder.parent.rglob("*")) == ["model.onnx", "preprocessing.json", "served"]


def test_a_graph_names_no_file_of_the_machine_that_made_it(digits):
    _, folder, _ = digits
    assert str(ROOT).encode() not in (folder / "model.onnx").read_bytes()


def test_images_are_served_as_predicted(digits, tmp_path):
    checkpoint, folder, _ = digits
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 10, 13, 3), dtype=np.uint8)
    paths = [tmp_path / "images" / f"{place}.png" for place in range(3)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    served = pd.read_csv(io.StringIO(serve(PROGRAMS["serve_images.py"], folder, *paths, cwd=tmp_path)))
    expected = predicted(checkpoint, tmp_path / "images", tmp_path)
    assert served["label"].tolist() == expected["label"].tolist()
    assert_allclose(served.iloc[:, 2:], expected.iloc[:, 2:], atol=2e-6)  # predict.py writes six digits


IMAGES = {"in_chans": 3, "num_classes": 3, "image_size": [9, 9], "class_names": ["circle", "a square", "triangle"]}
STATISTICS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
NUMBERS = {"task": "regression", "target_mean": [1e5, 0.0, -1.0], "target_std": [100.0, 1.0, 1e-3]}


@pytest.mark.parametrize(
    "facts",
    [{"task": "multilabel", "thresholds": [0.5, 0.45, 0.55]}, NUMBERS, {**NUMBERS, "y_range": [-3.0, 2e5]}],
    ids=["labels", "numbers", "numbers within y_range"],
)
def test_labels_and_numbers_of_images_are_served_as_predicted(facts, tmp_path):
    checkpoint = save(tmp_path / "a.ckpt", IMAGES | STATISTICS | facts, "model/net=cnn_small", "model.net.widths=[5]")
    folder = exported(checkpoint)
    paths = [tmp_path / f"{place}.png" for place in range(4)]
    for path, image in zip(paths, np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), dtype=np.uint8), strict=True):
        Image.fromarray(image).save(path)
    served = pd.read_csv(io.StringIO(serve(PROGRAMS["serve_images.py"], folder, *paths, cwd=tmp_path)))
    expected = predicted(checkpoint, tmp_path / "*.png", tmp_path)
    assert list(served.columns) == list(expected.columns)
    assert_allclose(served[IMAGES["class_names"]], expected[IMAGES["class_names"]], rtol=1e-5, atol=2e-6)
    if facts["task"] == "multilabel":
        assert served["labels"].fillna("").tolist() == expected["labels"].fillna("").tolist()
        assert json.loads((folder / "preprocessing.json").read_text())["thresholds"] == facts["thresholds"]


RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "code": RANDOM.choice(["007", "08", "1", None], 50),
        "shop": RANDOM.choice([1.0, 2.0, 30.0, np.nan], 50),
        "size": RANDOM.choice([0.0, 1.5, 7.25, np.nan], 50),
        "day": [f"2020-01-{day % 28 + 1:02}" if day % 7 else None for day in range(50)],
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
    "target_scaling": "log",
    "clip_numbers": True,
    "date_parts": ["day_of_week", "week", "is_month_start", "elapsed"],
    "date_format": None,
    "positive": None,
}
CLASSES = {"target": "late", "task": "binary", "continuous_scaling": "standardise"}
VALUES = {"target": ["sales", "visits"], "task": "regression", "continuous_scaling": "quantile"}


def save_table(path, *overrides, **choices):
    processing = TableProcessing(**CHOICES | choices)
    processing.fit(FRAME)
    spec = {
        "task": processing.task,
        "category_sizes": processing.category_sizes,
        "num_continuous": len(processing.continuous_names),
        "num_outputs": processing.num_outputs,
        "class_names": processing.class_names,
        "continuous_bins": [],
        "target_range": [],
        "processing": processing.state,
    }
    return save(path, spec, "model=tabular_model", "datamodule=table_data", *overrides)


@pytest.fixture(scope="module")
def new_rows(tmp_path_factory):
    """The rows, and one with categories and numbers that training has not seen, in a file without targets."""
    path = tmp_path_factory.mktemp("rows") / "new.csv"
    unseen = pd.DataFrame({"code": ["7"], "shop": [4.0], "size": [-100.0], "day": ["2021-05-05"]})
    pd.concat([FRAME.drop(columns=["late", "sales", "visits"]), unseen]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("choices", [CLASSES, VALUES], ids=["classes", "values"])
def test_rows_are_served_as_predicted(choices, new_rows, tmp_path):
    checkpoint = save_table(tmp_path / "a.ckpt", **choices)
    folder = exported(checkpoint)
    served = pd.read_csv(io.StringIO(serve(PROGRAMS["serve_table.py"], folder, new_rows, cwd=tmp_path)))
    expected = predicted(checkpoint, new_rows, tmp_path)[list(served.columns)]
    assert len(served) == 51
    assert_allclose(served, expected, rtol=1e-5, atol=1e-6)


TEXT = 'the cat sat on the mat\nThe dog "sat" on the cat\nIs it (really) so? Yes; it is.\n'
SMALL_NET = ("model.net.embedding_size=16", "model.net.hidden_size=12", "model.net.num_layers=1")
UNTIED = ("model.net.tie_weights=false", "model.net.cutoffs=[10]")


def spec_of(tokenizer):
    size = 270 if tokenizer == "bpe" else None
    return build_spec(tokenizer, [TEXT], vocab="own", min_freq=1, max_vocab_size=size, specials=[])


def save_text(path, tokenizer, *overrides):
    return save(path, spec_of(tokenizer), "model=language_model", "datamodule=wikitext2", *SMALL_NET, *overrides)


@pytest.mark.parametrize("net", [pytest.param("awd_lstm", marks=pytest.mark.long), "qrnn"])
def test_a_text_goes_on_as_predicted(net, tmp_path, capsys):
    checkpoint = save_text(tmp_path / "a.ckpt", "basic_english", f"model/net={net}")
    folder, prompt = exported(checkpoint), "The dog; unheard of!"
    overrides = (f"checkpoint={checkpoint}", f"prompt='{prompt}'", "length=12", "temperature=0", "device=cpu")
    predict.run(composed(*overrides, name="predict"))
    expected = capsys.readouterr().out
    assert len(expected.split()) > 5  # those of the prompt
    assert serve(PROGRAMS["serve_text.py"], folder, prompt, 12, cwd=tmp_path) == expected


@pytest.mark.parametrize("tokenizer", ["whitespace", "basic_english", "char", "byte", "bpe"])
def test_the_program_reads_and_writes_text_as_the_tokenizer_does(tokenizer, tmp_path, monkeypatch):
    spec = spec_of(tokenizer)
    facts = ServedText(tiny_text.built(**spec)).preprocessing()
    (tmp_path / "preprocessing.json").write_text(json.dumps(facts))
    monkeypatch.setattr(sys, "argv", ["serve_text.py", str(tmp_path), "", "0"])
    program_: dict = {}
    exec(PROGRAMS["serve_text.py"].split("session = ")[0], program_)
    found = program_["encode"](f"a new{TEXT}")
    assert found == encode(f"a new{TEXT}", spec)
    assert program_["decode"](found) == decode(found, spec)


@pytest.mark.long
def test_a_torch_export_needs_torch_alone(tmp_path):
    checkpoint = save_text(tmp_path / "a.ckpt", "char", *UNTIED)  # whose decoder is adaptive
    folder = exported(checkpoint, "torch_export")
    served = served_model(load_model(checkpoint))
    inputs = served.sample(*LARGE)
    torch.save(inputs, tmp_path / "inputs.pt")
    source = """
import torch
program = torch.export.load(sys.argv[1]).module()
torch.save(program(*torch.load("inputs.pt")), "outputs.pt")
"""
    serve(source, folder / "model.pt2", cwd=tmp_path)
    found = torch.load(tmp_path / "outputs.pt")
    for one, other in zip(found, served(*inputs), strict=True):
        torch.testing.assert_close(one, other)


def test_weights_alone_make_the_same_model(digits_run, tmp_path, monkeypatch):
    model = load_model(digits_run / "checkpoints" / "best.ckpt")
    export(model, tmp_path / "weights", format="safetensors", tolerance=TOLERANCE)
    monkeypatch.setattr(sys, "argv", ["load_weights.py", str(tmp_path / "weights")])
    found: dict = {}
    exec(PROGRAMS["load_weights.py"], found)
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(found["model"](images), model(images))
