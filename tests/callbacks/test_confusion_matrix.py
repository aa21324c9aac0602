from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from src.callbacks.confusion_matrix import ConfusionMatrix, draw
from tests.programs import metrics_of, train_here

COUNTS = np.array([[5, 1, 0], [0, 7, 0], [0, 2, 8]])


def cells(figure):
    return {text.get_position(): text.get_text() for text in figure.axes[0].texts}


def test_a_row_is_a_true_class_and_a_column_a_predicted_one():
    figure = draw(COUNTS, ["cat", "dog", "owl"])
    assert cells(figure) == {(0, 0): "5", (1, 0): "1", (1, 1): "7", (1, 2): "2", (2, 2): "8"}  # (column, row)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted", "true")


def test_the_title_says_how_many_are_right():
    assert draw(COUNTS, ["cat", "dog", "owl"]).axes[0].get_title() == "20 of 23 right"


def test_a_class_without_rows_is_drawn_empty():
    assert cells(draw(np.array([[3, 0], [0, 0]]), ["cat", "dog"])) == {(0, 0): "3"}


def test_many_classes_are_drawn_without_numbers():
    assert cells(draw(np.eye(31, dtype=int), [str(i) for i in range(31)])) == {}


class Echo(torch.nn.Module):
    """A model whose logits are its input."""

    device = torch.device("cpu")

    def forward(self, images):
        return images


def test_only_the_first_pass_over_a_batch_is_counted(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("src.callbacks.confusion_matrix.draw", lambda counts, names: drawn.append(counts.tolist()))
    monkeypatch.setattr("src.callbacks.confusion_matrix.publish", lambda *args: None)
    trainer = SimpleNamespace(datamodule=SimpleNamespace(spec={"class_names": ["a", "b", "c"]}), is_global_zero=True)
    callback, model = ConfusionMatrix(path=str(tmp_path / "x.png")), Echo()
    callback.on_test_start(trainer, model)
    for predicted, labels in (([0, 1, 1, 2], [0, 1, 2, 2]), ([1], [0])):
        logits = torch.eye(3)[predicted]
        model(logits)
        model(logits.flip(1))  # as flip_tta does
        callback.on_test_batch_end(trainer, model, None, (logits, torch.tensor(labels)), 0)
    callback.on_test_end(trainer, model)
    assert drawn == [[[1, 1, 0], [0, 1, 0], [0, 1, 1]]]


def test_the_picture_counts_every_row_of_the_test_set(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "src.callbacks.confusion_matrix.draw", lambda counts, names: drawn.append(counts) or draw(counts, names)
    )
    train_here(tmp_path, "callbacks=images", "trainer.max_epochs=1", "model.flip_tta=true")
    (counts,) = drawn
    assert counts.sum() == 359
    assert np.trace(counts) / 359 == pytest.approx(metrics_of(tmp_path)["test/accuracy"], abs=1e-6)
    with Image.open(tmp_path / "confusion_matrix.png") as picture:
        assert picture.width == picture.height > 400


def test_the_model_is_listened_to_only_during_the_test():
    callback = ConfusionMatrix(path="x.png")
    model = torch.nn.Linear(2, 2)
    callback._hook = model.register_forward_hook(callback._listen)
    callback.teardown(None, None, "test")
    model(torch.zeros(1, 2))
    assert callback._logits is None
