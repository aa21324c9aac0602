from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from src.callbacks.images.confusion_matrix import ConfusionMatrix
from src.report.confusion import draw_confusion
from tests.support.programs import metrics_of, train_here


class Echo(torch.nn.Module):
    """A model whose logits are its input."""

    device = torch.device("cpu")

    def forward(self, images):
        return images


def test_only_the_first_pass_over_a_batch_is_counted(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "src.callbacks.images.confusion_matrix.draw_confusion", lambda counts, names: drawn.append(counts.tolist())
    )
    monkeypatch.setattr("src.callbacks.images.confusion_matrix.publish", lambda *args: None)
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


def test_the_figure_counts_every_row_of_the_test_set(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "src.callbacks.images.confusion_matrix.draw_confusion",
        lambda counts, names: drawn.append(counts) or draw_confusion(counts, names),
    )
    train_here(tmp_path, "callbacks=images", "trainer.max_epochs=1", "model.flip_tta=true")
    (counts,) = drawn
    assert counts.sum() == 359
    assert np.trace(counts) / 359 == pytest.approx(metrics_of(tmp_path)["test/accuracy"], abs=1e-6)
    with Image.open(tmp_path / "confusion_matrix.png") as figure:
        assert figure.width == figure.height > 400


def test_the_model_is_listened_to_only_during_the_test():
    callback = ConfusionMatrix(path="x.png")
    model = torch.nn.Linear(2, 2)
    callback._hook = model.register_forward_hook(callback._listen)
    callback.teardown(None, None, "test")
    model(torch.zeros(1, 2))
    assert callback._logits is None


def test_without_a_single_class_for_each_image_there_is_no_matrix_and_a_note_says_so(tmp_path, capsys):
    spec = {"class_names": ["a", "b"], "task": "multilabel"}
    trainer = SimpleNamespace(datamodule=SimpleNamespace(spec=spec), is_global_zero=True)
    callback, model = ConfusionMatrix(path=str(tmp_path / "x.png")), Echo()
    callback.on_test_start(trainer, model)
    batch = torch.eye(2), torch.eye(2)
    model(batch[0])
    callback.on_test_batch_end(trainer, model, None, batch, 0)
    callback.on_test_end(trainer, model)
    callback.teardown(trainer, model, "test")
    assert list(tmp_path.iterdir()) == []
    told = capsys.readouterr().err
    assert told == "note: x.png is left out: task=multilabel has no single class for each image\n"
