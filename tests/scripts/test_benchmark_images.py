"""Each pipeline trains a step on a narrow net; speeds are made up."""

import json

import numpy as np
import pytest
import torch

from scripts import benchmark_images
from scripts.benchmark_images import MEAN, STD, PlainDataset, images_per_second, main


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(benchmark_images, "CHOICES", [*benchmark_images.CHOICES, "model.net.width=8"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["plain", "plain_bf16", "ours"])
def test_a_pipeline_trains(name, narrow, monkeypatch):
    monkeypatch.setattr(benchmark_images.DataLoader, "__init__", without_workers(benchmark_images.DataLoader.__init__))
    ticks = iter(range(100))
    monkeypatch.setattr(
        benchmark_images.StepTimes, "on_train_batch_end", lambda self, *_: self.ends.append(next(ticks))
    )
    assert images_per_second(name, batch_size=3, steps=2) == {"images/s": 3.0}  # a step a tick


def without_workers(initialise):
    def changed(self, *arguments, **choices):
        initialise(self, *arguments, **choices | {"num_workers": 0, "persistent_workers": False})

    return changed


def test_a_plain_image_is_padded_cropped_flipped_and_normalised():
    pixels = np.full((1, 32, 32, 3), 255, np.uint8)
    torch.manual_seed(0)
    drawn = [PlainDataset(pixels, np.array([7]))[0] for _ in range(8)]
    white, black = ((value - torch.tensor(MEAN)) / torch.tensor(STD) for value in (1.0, 0.0))
    for image, label in drawn:
        assert image.shape == (3, 32, 32)
        assert label == 7
        values = image.permute(1, 2, 0).flatten(0, 1)
        assert all(torch.allclose(value, white) or torch.allclose(value, black) for value in values.unique(dim=0))
    assert len({tuple(image[0, 0].tolist()) for image, _ in drawn}) > 1


def test_the_last_line_has_the_ratios(monkeypatch, capsys):
    speeds = {"plain": 50.0, "plain_bf16": 100.0, "ours": 125.0}
    monkeypatch.setattr(benchmark_images, "medians_of_turns", lambda *_, repeats: {"images/s": speeds})
    main(["--quick"])
    result = json.loads(capsys.readouterr().out)
    assert (result["ratio"], result["ratio_to_plain_bf16"], result["batch_size"]) == (2.5, 1.25, 64)
    assert result["images_per_second"] == speeds
