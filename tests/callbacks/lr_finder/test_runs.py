import contextlib
import csv
import inspect
import os
import pty
import re

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.lr_finder.rules import RULES
from src.core.explain import readable_errors
from src.datamodules.loader import BatchLoader
from src.training.run import run
from tests.support.programs import (
    SMALL,
    checkpoint_of,
    composed,
    metrics_of,
    run_here,
    same,
    started,
    train_here,
)
from tests.support.tiny import SPEC, TinyImages, classifier, labelled_images, save_after, trainer

SEARCH = ("callbacks.lr_finder.num_steps=20", "callbacks.lr_finder.min_lr=1e-4", "callbacks.lr_finder.max_lr=0.3")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return train_here(tmp_path_factory.mktemp("found"), "callbacks=lr_finder", *SEARCH, "trainer.max_epochs=1")


def curve_of(run_dir):
    with (run_dir / "lr_finder.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_that_finds_its_rate_leaves_its_figure_and_its_table(found):
    assert (found / "lr_finder.png").read_bytes().startswith(b"\x89PNG")
    rates = [float(row["lr"]) for row in curve_of(found)]
    assert rates == pytest.approx(np.geomspace(1e-4, 0.3, 20)[: len(rates)])


def test_it_is_the_run_that_was_given_the_rate(found, tmp_path):
    rate = metrics_of(found)["lr/suggested"]
    given = train_here(tmp_path, f"model.lr={rate}", "trainer.max_epochs=1")
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(checkpoint_of(given)[part], checkpoint_of(found)[part]), part


def test_its_checkpoint_knows_the_rate(found):
    assert checkpoint_of(found)["hyper_parameters"]["lr/suggested"] == metrics_of(found)["lr/suggested"]


def test_the_search_counts_as_no_step_of_the_training(found):
    assert metrics_of(found)["train/steps"] == 6


def test_a_terminal_shows_the_search_and_then_the_training(tmp_path):
    terminal, end = pty.openpty()
    settings = ["callbacks=lr_finder", *SEARCH, *SMALL[1:], "trainer.max_epochs=1", f"run_dir={tmp_path}"]
    with os.fdopen(end, "wb") as stdout:
        process = started("train.py", *settings, cwd=tmp_path, stdout=stdout, stderr=stdout, TERM="xterm")
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(terminal, 4096):
            shown += part
    assert process.wait(60) == 0
    assert b"Traceback" not in shown
    assert re.search(r"lr finder (\x1b\[[\d;]*m)*━", shown.decode())
    assert shown.index(b"<- suggested") < shown.rindex(b"Epoch 0/0")


def test_lr_find_writes_figure_and_table_and_stops(tmp_path, capsys):
    run_dir = tmp_path / "run"
    run_here(composed("callbacks=lr_find", *SMALL[1:], *SEARCH, f"run_dir={run_dir}"))
    shown = capsys.readouterr()
    assert shown.err == ""
    files = {"config.yaml", "lr_finder.csv", "lr_finder.png", "metrics.json"}
    assert set(os.listdir(run_dir)) == files  # no checkpoint, and not finished: a training may follow here
    metrics = metrics_of(run_dir)
    assert (metrics["train/steps"], metrics["train/epochs"]) == (0, 0)
    assert not any(name.startswith(("test/", "val/")) for name in metrics)
    [chosen] = [line.split() for line in shown.out.splitlines() if line.endswith("<- suggested")]
    assert chosen[0] == "combined"
    assert float(chosen[1]) == pytest.approx(metrics["lr/suggested"], rel=1e-6)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("rule=foo", "lr_finder.rule must be one of combined, minimum, steep, valley, slide, got foo"),
        ("num_steps=3", "lr_finder needs num_steps >= 10"),
        ("min_lr=20", "lr_finder needs 0 < min_lr < max_lr, got min_lr=20"),
    ],
)
def test_a_mistake_is_one_line_without_a_traceback(tmp_path, monkeypatch, capsys, mistake, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped, readable_errors("train"):
        run(composed("callbacks=lr_finder", f"callbacks.lr_finder.{mistake}", f"run_dir={tmp_path}"))
    assert stopped.value.code == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


RANGE = {"min_lr": 1e-3, "max_lr": 0.3, "num_steps": 12}


class TakesImages(DummyLogger):
    """As WandbLogger, or a stranger's."""

    taken = []

    def log_image(self, key, images, step=None):
        self.taken.append((key, images, step))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("fitted")
    finder = LRFinder(**RANGE, rule="minimum", repeats=2, folder=str(folder))
    loggers = [TakesImages(), TensorBoardLogger(folder / "board")]
    run = trainer(1, finder, save_after(3, folder / "end.ckpt"), logger=loggers)
    run.fit(classifier(), TinyImages())
    return run, finder, folder


def test_the_table_holds_each_step_of_each_repeat(fitted):
    _, finder, folder = fitted
    columns = [(c.lrs.tolist(), c.losses.tolist(), c.smoothed.tolist()) for c in finder.search.curves]
    rows = [[r, step, *row] for r, c in enumerate(columns) for step, row in enumerate(zip(*c, strict=True))]
    with (folder / "lr_finder.csv").open() as file:
        header, *written = csv.reader(file)
    assert header == ["repeat", "step", "lr", "loss", "smoothed"]
    assert [[float(value) for value in row] for row in written] == rows


def test_the_rate_is_a_metric_and_a_hyperparameter_of_the_checkpoint(fitted):
    run, finder, folder = fitted
    rate, saved = finder.search.suggestion, torch.load(folder / "end.ckpt", weights_only=True)
    assert run.callback_metrics["lr/suggested"] == pytest.approx(rate)
    assert saved["hyper_parameters"]["lr/suggested"] == rate
    assert saved["callbacks"]["LRFinder"]["found"] == {0: rate}


def test_loggers_get_the_figure(fitted):
    run, _, folder = fitted
    other, board = run.loggers
    [(name, [pixels], step)] = other.taken
    assert (name, step) == ("lr_finder", 0)
    with Image.open(folder / "lr_finder.png") as image:
        assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    assert EventAccumulator(board.log_dir).Reload().Tags()["images"] == ["lr_finder"]


class Unseeing(pl.Callback):
    def setup(self, trainer, pl_module, stage):
        raise AssertionError("a search by hand concerns no callback")


@pytest.mark.parametrize("with_datamodule", [True, False])
def test_find_prints_and_writes_nothing_and_leaves_the_trainer_as_it_was(
    tmp_path, monkeypatch, capsys, with_datamodule
):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    logger, other = DummyLogger(), Unseeing()
    run = trainer(2, other, logger=logger, default_root_dir=str(tmp_path))
    callbacks = list(run.callbacks)
    model = classifier()
    model.hparams["spec"] = SPEC
    loader = DataLoader(TensorDataset(*labelled_images(12)), 4)
    data = {"datamodule": TinyImages()} if with_datamodule else {f"{p}_dataloaders": loader for p in ("train", "val")}
    found = LRFinder(**RANGE, folder=str(tmp_path)).find(run, model, **data)
    assert len(found.curve.lrs) == 12
    assert found.suggestions.keys() == RULES.keys()
    assert found.plot().axes
    assert (run.callbacks, run.loggers, run.global_step) == (callbacks, [logger], 0)
    assert run.fit_loop.epoch_progress == trainer().fit_loop.epoch_progress
    assert (tuple(capsys.readouterr()), os.listdir()) == (("", ""), [])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"rule": "best"}, "rule must be one of combined, minimum, steep, valley, slide, got best"),
        ({"min_lr": 1.0, "max_lr": 0.1}, "needs 0 < min_lr < max_lr, got min_lr=1.0, max_lr=0.1"),
        ({"min_lr": 0.0}, "needs 0 < min_lr < max_lr, got min_lr=0.0"),
        ({"num_steps": 9}, "needs num_steps >= 10 and repeats >= 1, got num_steps=9"),
        ({"repeats": 0}, "repeats >= 1, got num_steps=100, repeats=0"),
        ({"ladder": "cubic"}, "lr_finder.ladder must be exponential or linear, got cubic"),
        ({"on": "test"}, "lr_finder.on must be train or valid, got test"),
    ],
)
def test_a_wrong_choice_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        LRFinder(**choices)


def test_conf_lists_every_choice_with_the_value_that_code_has():
    chosen = OmegaConf.to_container(composed("callbacks=lr_finder").callbacks.lr_finder)
    assert chosen.pop("_target_") == "src.callbacks.lr_finder.finder.LRFinder"
    defaults = {name: argument.default for name, argument in inspect.signature(LRFinder).parameters.items()}
    assert {**chosen, "folder": None, "epochs": tuple(chosen["epochs"])} == defaults


class Ranked(pl.LightningModule):
    """A linear regression that writes its own rank's losses down, those of the search included."""

    def __init__(self, folder):
        super().__init__()
        self.net, self.folder, self.lr = torch.nn.Linear(3, 1), folder, 1e-3

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=self.lr)

    def training_step(self, batch, batch_idx):
        loss = (self.net(batch[0]) - batch[1]).square().mean()
        with (self.folder / f"losses_{self.global_rank}.txt").open("a") as file:
            file.write(f"{loss.item()}\n")
        return loss

    def train_dataloader(self):
        rows, world = torch.linspace(-1, 1, 36).view(12, 3), self.trainer.world_size
        targets = torch.arange(12.0).view(12, 1)
        return BatchLoader(rows, targets, batch_size=4 // world, shuffle=True, rank=self.global_rank, world_size=world)

    def on_train_end(self):
        (self.folder / f"rate_{self.global_rank}.txt").write_text(str(self.trainer.optimizers[0].param_groups[0]["lr"]))


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    """One epoch of 3 steps with a search before it, by one process and by two: their folders."""
    folders = []
    for devices, strategy in ((1, "auto"), (2, "ddp_fork")):
        folders.append(tmp_path_factory.mktemp("ranked"))
        torch.manual_seed(0)
        finder = LRFinder(min_lr=1e-3, max_lr=100.0, num_steps=30, folder=str(folders[-1]))
        trainer(1, finder, devices=devices, strategy=strategy).fit(Ranked(folders[-1]))
    return folders


def numbers(path):
    return np.array([float(line) for line in path.read_text().split()])


def test_the_curve_is_the_mean_over_the_ranks(ranked):
    _, two = ranked
    losses = np.stack([numbers(two / f"losses_{rank}.txt")[:-3] for rank in (0, 1)])
    assert not np.allclose(losses[0], losses[1])
    assert [float(row["loss"]) for row in curve_of(two)] == pytest.approx(losses.mean(0), rel=1e-6)


def test_two_processes_see_the_curve_of_one(ranked):
    curves = [[float(row["loss"]) for row in curve_of(folder)] for folder in ranked]
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert len(curves[1]) < 30  # it diverges at the same step, too


def test_every_rank_takes_the_same_rate(ranked):
    one, two = ranked
    assert (two / "rate_0.txt").read_text() == (two / "rate_1.txt").read_text() == (one / "rate_0.txt").read_text()
