"""Several labels an image, and numbers, from a folder with a CSV to every answer that a user gets."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import predict
from scripts import compare_runs, report
from src.serving.export import export
from src.training.checkpoint import load_model
from tests.support.programs import composed, metrics_of, run_here
from tests.support.shapes import write_shapes

TASKS = {
    "multilabel": ["datamodule.task=multilabel", "datamodule.label_column=labels"],
    "regression": [
        "datamodule.task=regression",
        "datamodule.label_column=[share,ground]",
        "datamodule.y_range=[-5,85]",
    ],
}
SECTIONS = {
    "multilabel": ["Scores by label", "Which labels it misses and adds", "Can its probabilities be trusted?"],
    "regression": ["Predicted and true", "Images that are furthest off, and nearest"],
}
HEADLINES = {"multilabel": "Mean average precision, test", "regression": "R2, test"}


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory):
    """The task, the folder of a run of two epochs, and that of the images."""
    folder = tmp_path_factory.mktemp(request.param)
    write_shapes(folder / "shapes", 120)
    places = [f"data_dir={folder}", f"cache_dir={folder}/cache", f"run_dir={folder}/run", "datamodule.folder=shapes"]
    small = ["datamodule.image_size=24", "datamodule.batch_size=16", "trainer.max_epochs=2", "model.flip_tta=true"]
    small.append("trainer.log_every_n_steps=2")
    given = [*TASKS[request.param], *places, *small, "datamodule.labels=labels.csv", "model.label_smoothing=0.1"]
    run_here(composed("datamodule=image_folder", *given))
    return request.param, folder / "run", folder / "shapes" / "images"


def predicted(run_dir, images, output, *overrides):
    given = [f"checkpoint={run_dir}/checkpoints/best.ckpt", f"input={images}", f"output={output}", "device=cpu"]
    assert predict.run(composed(*given, *overrides, name="predict")) == 0
    with output.open() as file:
        return list(csv.DictReader(file))


def test_the_report_has_the_sections_of_the_task_and_its_score_first(run):
    task, run_dir, _ = run
    page = (run_dir / "report.html").read_text()
    assert f'<p class="of">{HEADLINES[task]}</p>' in page
    for section in SECTIONS[task]:
        assert section in page
    assert "failed:" not in page


def test_the_report_can_be_made_again(run):
    _, run_dir, images = run
    before = (run_dir / "report.html").read_text()
    report.rebuild(str(run_dir), data_dir=str(images.parents[1]), cache_dir=str(images.parents[1] / "cache"))
    assert (run_dir / "report.html").read_text() == before


def test_runs_can_be_compared_by_the_score_of_the_task(run, tmp_path):
    task, run_dir, _ = run
    for seed in (0, 1):
        copy = shutil.copytree(run_dir, tmp_path / "runs" / str(seed), ignore=shutil.ignore_patterns("checkpoints"))
        config = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(config.replace("seed: 0", f"seed: {seed}"))
    compare_runs.main([str(tmp_path / "runs"), "--out", str(tmp_path / "compare.html")])
    page = (tmp_path / "compare.html").read_text()
    assert {"multilabel": "Mean average precision, validation", "regression": "R2, validation"}[task] in page


@pytest.mark.parametrize("flip_tta", ["true", "false"])
def test_predictions_are_what_the_model_says(run, tmp_path, flip_tta):
    task, run_dir, images = run
    rows = predicted(run_dir, images, tmp_path / "a.csv", f"flip_tta={flip_tta}", "batch_size=50")
    model = load_model(run_dir / "checkpoints" / "best.ckpt")
    pixels = np.stack([np.asarray(Image.open(row["path"])) for row in rows])
    with torch.inference_mode():
        answers = model.predict(torch.from_numpy(pixels).permute(0, 3, 1, 2), flip_tta == "true").numpy()
    names = model.hparams["spec"]["class_names"]
    assert len(rows) == 120
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose([float(row[name]) for name in names], answer, rtol=1e-5, atol=1e-6)
        if task == "multilabel":
            chosen = [name for name, p, cut in zip(names, answer, model.task.thresholds, strict=True) if p >= cut]
            assert row["labels"] == ";".join(chosen)


@pytest.mark.parametrize("format", ["onnx", pytest.param("torch_export", marks=pytest.mark.long), "safetensors"])
def test_the_model_can_be_exported(run, tmp_path, format):
    _, run_dir, _ = run
    done = export(load_model(run_dir / "checkpoints" / "best.ckpt"), tmp_path / "served", format=format, tolerance=1e-5)
    assert done.difference < 1e-5


def test_the_scores_are_those_of_the_task(run):
    task, run_dir, _ = run
    expected = {
        "multilabel": {
            "mean_average_precision",
            "macro_f1",
            "micro_f1",
            "f1_circle",
            "mean_average_precision_flip_tta",
        },
        "regression": {"r2", "rmse", "mae_share", "r2_flip_tta"},
    }
    assert {f"test/{name}" for name in expected[task]} <= metrics_of(run_dir).keys()
