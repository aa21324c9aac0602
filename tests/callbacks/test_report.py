import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from src.callbacks.report import Report
from src.callbacks.run_metrics import RunMetrics
from src.loggers.csv_logger import CSVLogger
from src.report.figures import new_figure
from src.report.parts import Plot, Prose, Section
from tests.support.tiny import AtBatch, TinyImages, classifier, trainer


class View:
    """Shows a figure, and keeps the model's weights and mode."""

    def __init__(self, error=None):
        self.error = error
        self.weights = []  # at each look

    def sections(self, model, datamodule):
        if self.error is not None:
            raise self.error
        self.weights.append(next(model.parameters()).detach().clone())
        return [Section("What it has learned", [Prose("a little"), Plot("A dot", new_figure(2, 1), "nothing")])]


@pytest.fixture
def pages(monkeypatch):
    """The sections of each page, none of which is drawn: that takes a second."""
    pages = []
    monkeypatch.setattr("src.callbacks.report.write_report", lambda run_dir, sections: pages.append(list(sections)))
    return pages


def run(folder, view=None, epochs=1, callbacks=(), test=True, every_minutes=5.0, logger=None, datamodule=None):
    """A training that is tested, with what train.py has of files; returns the page and the trainer."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("# Repeat: python train.py\nscoring: {monitor: val/accuracy}\n")
    csv = CSVLogger(save_dir=str(folder))
    csv.log_hyperparams({"task": "fit", "resume": False, "checkpoint": None})
    report = Report(run_dir=str(folder), every_minutes=every_minutes, view=view)
    metrics = RunMetrics(path=str(folder / "metrics.json"), unit="samples")
    made = trainer(epochs, metrics, report, *callbacks, logger=[csv, *([logger] if logger else [])])
    torch.manual_seed(0)
    model, datamodule = classifier(), datamodule or TinyImages()
    made.fit(model, datamodule)
    if test:
        made.test(model, datamodule, verbose=False)
    path = folder / "report.html"
    return path.read_text() if path.is_file() else None, made


def test_the_page_has_the_scores_the_curves_and_what_the_view_shows(tmp_path):
    page, _ = run(tmp_path, View())
    for found in ("Accuracy, test", "How the training went", "Gradient norm", "What it has learned", "Configuration"):
        assert found in page


def test_the_view_looks_at_the_tested_weights_once(tmp_path, pages):
    class Best(pl.Callback):
        def on_test_start(self, trainer, pl_module):
            with torch.no_grad():
                for parameter in pl_module.parameters():
                    parameter.fill_(0.25)  # as a checkpoint that is loaded does

    view = View()
    run(tmp_path, view, callbacks=[Best()])
    [weights] = view.weights
    assert (weights == 0.25).all()


def test_without_a_test_split_the_view_looks_at_the_end_of_fit(tmp_path, pages):
    class NoTest(pl.LightningDataModule):
        spec = TinyImages().spec
        train_dataloader = TinyImages.train_dataloader
        val_dataloader = TinyImages.val_dataloader

        def __init__(self):
            super().__init__()
            self.train_size = None

    run(tmp_path, View(), test=False, datamodule=NoTest())
    assert [section.title for section in pages[-1]] == ["What it has learned"]


def test_a_view_that_fails_ends_no_training(tmp_path, capsys):
    page, made = run(tmp_path, View(ZeroDivisionError("no rows")))
    assert "View failed: ZeroDivisionError: no rows" in page
    assert "Accuracy, test" in page
    assert "warning: the report lacks what View shows" in capsys.readouterr().err
    assert made.state.finished


def test_a_page_that_cannot_be_written_ends_no_training(tmp_path, capsys):
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "mine").touch()
    with pytest.raises(IsADirectoryError):
        (tmp_path / "report.html").read_text()
    made = trainer(1, Report(run_dir=str(tmp_path), every_minutes=5.0))
    made.fit(classifier(), TinyImages())
    assert made.state.finished
    assert "report.html is not written (" in capsys.readouterr().err


@pytest.mark.parametrize(("batch_s", "written"), [(121, [0, 1, 2]), (120, [0, 0, 1]), (40, [0, 0, 0])])
def test_a_page_is_written_once_more_than_every_minutes_have_passed(tmp_path, pages, clock, batch_s, written):
    def tick(trainer, model):
        clock.seconds += batch_s
        return len(pages)

    seen = AtBatch(tick, "start")
    run(tmp_path, every_minutes=2, callbacks=[seen], test=False)
    assert seen.values == written
    assert len(pages) == written[-1] + (batch_s == 121) + 1  # one at the end


def test_another_rank_writes_nothing(tmp_path, monkeypatch, pages):
    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    run(tmp_path, View())
    assert pages == []
    assert not (tmp_path / "environment.json").exists()


def test_a_report_changes_no_weight(tmp_path, clock):
    def tick(trainer, model):
        clock.seconds += 100 if trainer.global_step == 2 else 0.1

    _, plain = run(tmp_path / "a", epochs=2, callbacks=[AtBatch(tick)], every_minutes=99, test=False)
    _, viewed = run(tmp_path / "b", View(), epochs=2, callbacks=[AtBatch(tick)], every_minutes=1, test=False)
    weights = [[*made.lightning_module.parameters()] for made in (plain, viewed)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


class Images(Logger):
    """Keeps the images that it is given."""

    name, version = "images", ""

    def __init__(self):
        super().__init__()
        self.found = {}

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, *_, **__):
        pass

    def log_image(self, key, images, step=None):
        self.found[key] = images[0].shape


def test_loggers_get_the_figures_of_the_view(tmp_path, pages):
    logger = Images()
    run(tmp_path, View(), logger=logger)
    assert logger.found == {"What it has learned/A dot": (100, 200, 3)}


def test_tensorboard_gets_the_figures_of_the_view(tmp_path, pages):
    logger = TensorBoardLogger(save_dir=str(tmp_path), name="tensorboard", version="")
    run(tmp_path, View(), logger=logger)
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").glob("events*"))
    assert b"What it has learned/A dot" in events


def test_every_minutes_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match=r"report\.every_minutes must be positive, got 0"):
        Report(run_dir=str(tmp_path), every_minutes=0)
