import csv
import os
import re
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import predict
from src.core.errors import ConfigError
from src.datamodules.images.folder import ImageFolder
from src.predict.images import ask as predict_images
from src.predict.images import table as predict_table
from src.training.checkpoint import load_model
from tests.support.make_data import folder_settings, write_image_folder
from tests.support.programs import composed, program, program_without_torch, train_here


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return train_here(tmp_path_factory.mktemp("trained")) / "checkpoints" / "best.ckpt"


@pytest.fixture
def images(tmp_path):
    """Five grey images of 8x8 pixels, one of them in a folder below."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    (tmp_path / "images" / "more").mkdir(parents=True)
    for name, image in zip(("a", "b", "c", "d", "more/e"), pixels, strict=True):
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def run(checkpoint, source, *overrides):
    """Predict into out/table.csv beside the images; the exit status and the rows."""
    output = source.parent / "out" / "table.csv"
    status = predict.run(
        composed(f"checkpoint={checkpoint}", f"input='{source}'", f"output={output}", *overrides, name="predict")
    )
    with output.open() as file:
        return status, list(csv.DictReader(file))


def shares(row):
    return [float(row[str(digit)]) for digit in range(10)]


def test_a_folder_gives_a_row_for_each_image_in_it_and_below(checkpoint, images):
    status, rows = run(checkpoint, images)
    assert status == 0
    assert [row["path"] for row in rows] == [
        str(images / n) for n in ("a.png", "b.png", "c.png", "d.png", "more/e.png")
    ]


def test_probabilities_add_up_to_one_and_the_label_has_the_largest(checkpoint, images):
    for row in run(checkpoint, images)[1]:
        assert sum(shares(row)) == pytest.approx(1, abs=1e-5)
        assert row["label"] == str(np.argmax(shares(row)))


def test_rows_are_what_the_model_says(checkpoint, images):
    model = load_model(checkpoint)
    image = torch.from_numpy(np.asarray(Image.open(images / "c.png")).copy()).view(1, 1, 8, 8)
    expected = model(image).softmax(1)[0].tolist()
    assert shares(run(checkpoint, images)[1][2]) == pytest.approx(expected, abs=1e-6)


def test_the_batch_size_changes_nothing(checkpoint, images):
    whole, split = run(checkpoint, images)[1], run(checkpoint, images, "batch_size=2")[1]
    assert [row["path"] for row in split] == [row["path"] for row in whole]
    for one, other in zip(whole, split, strict=True):
        assert shares(one) == pytest.approx(shares(other), abs=1e-5)


def test_flip_tta_makes_a_image_and_its_mirror_image_alike(checkpoint, images):
    Image.open(images / "a.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(images / "a2.png")
    a, mirrored = run(checkpoint, images, "flip_tta=true")[1][:2]
    assert shares(a) == pytest.approx(shares(mirrored), abs=1e-5)


def test_what_is_not_an_image_is_counted_and_named(checkpoint, images, capsys):
    (images / "more" / "f.HEIC").touch()
    (images / "notes.txt").touch()
    (images / ".DS_Store").touch()
    Image.open(images / "a.png").save(images / "f.tif")
    status, rows = run(checkpoint, images)
    assert (status, len(rows)) == (0, 6)
    told = capsys.readouterr().err
    assert told.count(f"note: {images}: left out: 1 .heic (more/f.HEIC), 1 .txt (notes.txt)\n") == 1


def test_a_name_that_is_not_utf_8_is_escaped(checkpoint, images):
    os.rename(os.fsencode(images) + b"/a.png", os.fsencode(images) + b"/caf\xe9.png")
    paths = [row["path"] for row in run(checkpoint, images)[1]]
    assert f"{images}/caf\\xe9.png" in paths


def test_odd_files_are_named_and_do_not_stop_the_rest(checkpoint, images, capsys):
    (images / "link.png").symlink_to(images / "nowhere")
    (images / "empty.png").touch()
    os.mkfifo(images / "pipe.png")
    (images / "folder.png").mkdir()
    status, rows = run(checkpoint, images)
    assert (status, len(rows)) == (1, 5)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "error: 3 of 8 files left out:"
    assert sorted(line.split("/")[-1].split()[0].strip(":") for line in lines) == ["empty.png", "link.png", "pipe.png"]


CATS = {"class_names": ["cat", "dog"]}


def table(path, spec, *answers, name="a.png"):
    """The rows of a written table, each a dict."""
    predict_table.write_table(path, spec, [(name, np.array(answer, np.float32)) for answer in answers])
    with path.open() as file:
        return list(csv.DictReader(file))


def test_several_labels_are_joined_and_each_has_its_probability(tmp_path):
    spec = {**CATS, "task": "multilabel", "thresholds": [0.5, 0.25]}
    rows = table(tmp_path / "a.csv", spec, [0.75, 0.25], [0.5, 0.125], [0.25, 0.0])
    assert [row["labels"] for row in rows] == ["cat;dog", "cat", ""]
    assert rows[0] == {"path": "a.png", "labels": "cat;dog", "cat": "0.750000", "dog": "0.250000"}


def test_numbers_have_a_column_each_and_all_their_digits(tmp_path):
    (row,) = table(tmp_path / "a.csv", {"class_names": ["age", "year"], "task": "regression"}, [1e-7, 2026.1234])
    assert list(row) == ["path", "age", "year"]
    assert [np.float32(row[name]) for name in ("age", "year")] == [np.float32(1e-7), np.float32(2026.1234)]


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("classification", "path label probability [red].png cat 0.750"),
        ("multilabel", "path labels [red].png cat"),
        ("regression", "path cat dog [red].png 0.75 0.25"),
    ],
)
def test_the_shown_rows_fit_the_task(tmp_path, capsys, task, line):
    table(tmp_path / "a.csv", {**CATS, "task": task}, [0.75, 0.25], name="[red].png")
    predict_table.show_table(tmp_path / "a.csv", 1, {**CATS, "task": task})
    shown = re.findall(r"[\w.\[\]]+", capsys.readouterr().out)
    assert " ".join(shown).startswith(f"{line} 1 predictions in")


@pytest.mark.parametrize(
    ("names", "task", "leading"),
    [
        (["path", "label", "cat"], "classification", ["path", "label"]),
        (["label", "label (class)"], "classification", ["path", "label"]),
        (["labels", "label"], "multilabel", ["path", "labels"]),
        (["path", "label"], "regression", ["path"]),
    ],
)
def test_a_class_named_like_another_column_gets_a_name_of_its_own(tmp_path, capsys, names, task, leading):
    (row,) = table(tmp_path / "a.csv", {"class_names": names, "task": task}, np.eye(len(names))[0])
    heads = list(row)
    assert len(set(heads)) == len(heads) == len(names) + len(leading)
    assert heads[: len(leading)] == leading
    assert f"the column of class {names[0]} is called {heads[len(leading)]}," in capsys.readouterr().err


def test_a_single_file_is_an_input(checkpoint, images):
    assert len(run(checkpoint, images / "b.png")[1]) == 1


def test_a_pattern_is_an_input(checkpoint, images):
    _, rows = run(checkpoint, images / "[ab].png")
    assert [row["path"][-5:] for row in rows] == ["a.png", "b.png"]


def test_a_pattern_leaves_out_folders_and_nothing_else(checkpoint, images, capsys):
    (images / "link.png").symlink_to(images / "nowhere")
    (images / "Thumbs.db").touch()
    status, rows = run(checkpoint, images / "*")
    assert (status, len(rows)) == (1, 4)
    told = capsys.readouterr().err
    assert f"left out: 1 folder ({images}/more)" in told
    assert f"error: 1 of 5 files left out:\ncannot open {images}/link.png: No such file or directory" in told


def test_an_unreadable_file_is_named_and_the_rest_written(checkpoint, images, capsys):
    (images / "b.png").write_bytes(b"no image")
    status, rows = run(checkpoint, images, "batch_size=1")
    assert status == 1
    assert len(rows) == 4
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: 1 of 5 files left out:"
    assert str(images / "b.png") in second


def test_a_failure_leaves_the_older_table_and_no_rest(tmp_path):
    output = tmp_path / "table.csv"
    output.write_text("older")

    def rows():
        yield "a.png", np.array([1.0, 0.0])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        predict_table.write_table(output, CATS, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert output.read_text() == "older"


def test_files_are_read_a_batch_ahead_and_no_more(monkeypatch):
    read, all_read = [], threading.Event()

    def fake(path, side, channels, max_pixels, resize):
        read.append(path)
        if len(read) == 4:
            all_read.set()
        return np.zeros((side, side, channels), np.uint8)

    monkeypatch.setattr(predict_images, "read_image", fake)
    batches = predict_images.read_batches(list("abcdef"), 2, {"image_size": [3, 3], "in_chans": 1}, [])
    paths, pixels = next(batches)
    assert all_read.wait(5)
    assert paths == ["a", "b"]
    assert pixels.shape == (2, 3, 3, 1)
    assert sorted(read) == list("abcd")
    assert [paths for paths, _ in batches] == [["c", "d"], ["e", "f"]]


class Listener(torch.nn.Module):
    """Keeps the images that it is asked about."""

    device = torch.device("cpu")

    def __init__(self, spec):
        super().__init__()
        self.hparams = {"spec": spec}

    def predict(self, images, flip_tta, crop_tta):
        self.images = images
        return torch.zeros(len(images), 2)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_a_file_gives_the_pixels_that_testing_saw(tmp_path, resize):
    write_image_folder(tmp_path / "pets", ("cat", "dog"), rows={"train": 4, "test": 3}, size=(40, 31), suffix="jpg")
    places = {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    data = ImageFolder(**places, **folder_settings(image_size=9, cache_size=16, resize=resize, batch_size=6))
    data.prepare_data()
    data.setup("test")
    tested, _ = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    paths = [tmp_path / "pets" / data.row_names[row] for row in data.splits["test"].rows]
    ((_, read),) = predict_images.read_batches(paths, 6, data.spec, [])
    model = Listener(data.spec)
    predict_images.answers(model, read, flip_tta=False)
    assert model.images.shape == (6, 3, 9, 9)
    assert torch.equal(model.images, tested)


def test_the_program_writes_a_table_and_shows_its_first_rows(checkpoint, images, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    finished = program("predict.py", f"checkpoint={checkpoint}", f"input={images}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "5 predictions in predictions.csv" in finished.stdout
    assert set(tmp_path.rglob("*")) - set(before) == {tmp_path / "predictions.csv"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekpoint=x.ckpt"], "there is no key chekpoint; did you mean checkpoint?"),
        (["input=x"], "checkpoint must be given: checkpoint=..."),
        (["checkpoint=x.ckpt", "input=x"], "checkpoint=x.ckpt is not a file"),
        (["checkpoint={checkpoint}", "input=nowhere"], "input=nowhere is not a file or a folder, and as a pattern"),
        (["checkpoint={checkpoint}", "input=empty"], "input=empty holds no file that can be predicted (.jpg"),
        (["checkpoint={checkpoint}", "input=a.png", "batch_size=0"], "batch_size must be positive, got 0"),
        (["checkpoint={checkpoint}"], "give one of input=..., prompt=...; python predict.py --help has more"),
        (["checkpoint={checkpoint}", "input=x", "prompt=x"], "give one of input=..., prompt=...;"),
        (["checkpoint={checkpoint}", "input=nowhere.csv"], "there is no file nowhere.csv"),
        (["checkpoint={checkpoint}", "input=a.csv", "output=b.txt"], "output=b.txt must end in .csv or .parquet"),
        (["checkpoint={checkpoint}", "prompt=x", "length=0"], "length must be positive, got 0"),
        (["checkpoint={checkpoint}", "input=a (1).png"], "'input=a (1).png' is not key=value; quote"),
    ],
)
def test_a_slip_is_answered_in_words_before_torch_is_there(checkpoint, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "a.png").touch()
    (tmp_path / "a.png").touch()
    arguments = [argument.format(checkpoint=checkpoint) for argument in arguments]
    finished = program_without_torch("predict.py", *arguments, cwd=tmp_path)
    assert finished.returncode == 1, finished.stderr
    assert finished.stderr.startswith(f"error: {message}")
    assert len(finished.stderr.splitlines()) == 1


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device=nonsense is not available here"):
        predict.choose_device("nonsense")


@pytest.mark.parametrize("question", ["prompt=hello", "input=new.csv"])
def test_a_classifier_answers_no_other_question(checkpoint, question):
    with pytest.raises(ConfigError, match=f"the checkpoint holds an image model: it cannot answer {question}"):
        predict.run(composed(f"checkpoint={checkpoint}", question, name="predict"))


def test_a_path_or_class_that_a_spreadsheet_would_run_stays_text(tmp_path):
    table(tmp_path / "a.csv", {"class_names": ["=1", "cat"]}, [0.75, 0.25], name="-2+3.png")
    assert (tmp_path / "a.csv").read_text().splitlines() == ["path,label,'=1,cat", "'-2+3.png,'=1,0.750000,0.250000"]
