"""Each lesson, on tiny settings, trains, measures and draws; docs/lessons.md has them all."""

import json
import re
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from scripts.compare_tabular import comparison
from scripts.lessons import __main__ as lessons
from scripts.lessons import embeddings as lesson_embeddings
from scripts.lessons.bench import Bench
from scripts.lessons.functions import one_layer
from src.core.errors import ConfigError
from tests.support.make_data import write_cifar_binary, write_rossmann
from tests.support.programs import ROOT

MLP = ("datamodule.train_per_class=8", "datamodule.batch_size=4", "model.net.widths=[6]")
TEXT = (
    *("datamodule.max_vocab_size=60", "model.net.embedding_size=7", "model.net.hidden_size=8"),
    *(f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test")),
)
SMALL = {
    "approximation": [
        "datamodule.rows=80",
        "trainer.check_val_every_n_epoch=1",
        "datamodule.function='x**2','sin(x)'",
        "model.net.widths=[2,3],[5,4]",
    ],
    "linear": ["datamodule.rows=80", "trainer.check_val_every_n_epoch=1", "model.net.widths=[],[5,3]"],
    "learning_rate": MLP,
    "batch_size": ["datamodule.batch_size=2,5", "datamodule.train_per_class=4", "model.net.widths=[8,12,16]"],
    "softmax": ["datamodule.batch_size=4", "datamodule.train_per_class=4", "model.net.widths=[8,12,16]"],
    "relu": [*MLP, "seed=0,1"],
    "dropout": [*MLP, "model.net.dropout=0,0.5"],
    "embeddings": ["model.net.widths=[5]"],
    "bptt": [*TEXT, "datamodule.bptt=4,6"],
    "lstm_qrnn": TEXT,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A function that does a lesson once and returns the folder of its figure and numbers."""
    folder = tmp_path_factory.mktemp("lessons")
    write_cifar_binary(folder / "cifar-10", train_rows=150)
    write_rossmann(folder / "rossmann", stores=20, days=30)
    places = [f"data_dir={folder}", f"cache_dir={folder}/cache", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]

    @cache
    def do(name):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(comparison, "NET_TRIES", comparison.NET_TRIES[:1])
            patch.setattr(lesson_embeddings, "MODELS", ("KNN",))
            lessons.main([name, *places, "seed=0", *SMALL[name], "--out", str(folder / "out")])
        return folder / "out"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield do
    torch.set_num_threads(threads)


FAST = ("relu", "softmax")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.long) for name in lessons.LESSONS]
)
def test_a_lesson_draws_and_measures(name, done):
    folder = done(name)
    pixels = np.asarray(Image.open(folder / f"{name}.png").convert("L"))
    assert 700 <= pixels.shape[1] <= 1000
    assert (pixels < 200).mean() > 0.005
    numbers = json.loads((folder / f"{name}.json").read_text())
    assert numbers.keys() >= {"hardware", "torch", "date", "seeds"}
    measured = [value for key, value in numbers.items() if "/" in key]
    assert measured
    assert np.isfinite([number for found in measured for number in leaves(found)]).all()


def leaves(value):
    """The numbers of a nested structure."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if values is None else [leaf for inner in values for leaf in leaves(inner)]


def test_layers_without_relu_are_their_product(done):
    numbers = json.loads((done("linear") / "linear.json").read_text())
    assert numbers["largest difference from one layer"] < 1e-5


def test_several_linear_layers_are_one_by_hand():
    layers = [nn.Linear(1, 2), nn.Linear(2, 1)]
    for layer, weight, bias in zip(layers, ([[2.0], [3.0]], [[5.0, 7.0]]), ([1.0, 0.0], [4.0]), strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    weight, bias = one_layer(layers)
    assert (weight.item(), bias.item()) == (31.0, 9.0)  # 5 x 2 + 7 x 3; 5 x 1 + 4


def test_probabilities_add_up_to_1(done):
    numbers = json.loads((done("softmax") / "softmax.json").read_text())
    assert numbers["largest difference of a sum of probabilities from 1"] < 1e-6


@pytest.mark.long
def test_only_dropped_activations_change_the_output(done):
    numbers = json.loads((done("dropout") / "dropout.json").read_text())
    assert numbers["dropping, net trained with this rate"]["0.5"]["half below"] > 0.05


def test_a_key_that_is_varied_takes_other_values():
    bench = Bench("", ["a=1,2", "b='f(x) + 1'", "seed=7"])
    assert [bench.values("a", [5]), bench.values("c", [5, 6]), bench.values("seed", range(3))] == [
        ["1", "2"],
        ["5", "6"],
        ["7"],
    ]
    assert bench.overrides() == ["b='f(x) + 1'"]


def test_several_values_of_another_key_are_refused():
    with pytest.raises(ConfigError, match="this lesson varies seed: give"):
        Bench("", ["model.lr=1,2"]).overrides()


def test_all_settings_have_their_turn_before_the_next_seed(done):
    jobs = [json.loads((done("relu") / "relu" / str(job) / "job.json").read_text()) for job in range(4)]
    assert [(job["setting"], job["seed"]) for job in jobs] == [
        (setting, seed) for seed in "01" for setting in ("with ReLU", "without")
    ]


def test_an_unknown_lesson_is_refused(capsys):
    with pytest.raises(SystemExit):
        lessons.main(["droput"])
    assert "name lessons among approximation, linear" in capsys.readouterr().err


@pytest.mark.parametrize("name", lessons.LESSONS)
def test_the_page_has_a_lessons_command_and_figure(name):
    page = (ROOT / "docs" / "lessons.md").read_text()
    assert re.search(rf"python -m scripts\.lessons {name}\b", page)
    figure = ROOT / "docs" / "images" / "lessons" / f"{name}.png"
    assert f"images/lessons/{name}.png" in page
    assert figure.stat().st_size < 100_000
