import multiprocessing
import os
import random
import signal
import tempfile
import threading
from functools import reduce
from operator import getitem

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.plugins import MixedPrecision
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, Subset, TensorDataset

from src.callbacks.averaging import Averaging
from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.lr_finder.held_out import held_out_batch
from src.callbacks.search.snapshot import undone
from src.datamodules.loader import BatchLoader
from tests.support.programs import same
from tests.support.searched import Searching, Story, Stranger, Untidy, images, language, points, seen, stranger, tabular
from tests.support.tiny import trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # on a machine of one CPU
]


def told(make, *callbacks, find=None, **choices):
    """Everything there was before each batch of a training of three epochs."""
    pl.seed_everything(3, verbose=False)
    story, (model, data) = Story(), make()
    run = trainer(3, *callbacks, story, **choices)
    if find is not None:
        find.find(run, model, **data)
    run.fit(model, **data)
    return story.pages


def assert_same_stories(*stories):
    for batch, (page, other) in enumerate(zip(*stories, strict=True)):
        assert [part for part in page if not same(page[part], other[part])] == [], f"before batch {batch}"


def finder(**choices):
    return LRFinder(**({"apply": False, "num_steps": 20, "min_lr": 1e-5, "max_lr": 2.0} | choices))


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("make", [images, tabular, language, stranger])
def test_a_training_with_a_search_equals_one_without_it(make, epoch):
    assert_same_stories(told(make), told(make, finder(epochs=[epoch])))


@pytest.mark.parametrize("make", [images, tabular, language, stranger])
def test_a_training_after_find_equals_one_without_it(make):
    assert_same_stories(told(make), told(make, find=finder()))


def test_searches_with_repeats_leave_no_trace():
    assert_same_stories(told(stranger), told(stranger, finder(epochs=[0, 2], repeats=2)))


def test_searches_on_held_out_data_leave_no_trace():
    assert_same_stories(told(images), told(images, finder(on="valid")))


def test_the_average_of_the_weights_does_not_see_the_search():
    stories = [told(images, Averaging(decay=0.5), *search) for search in ([], [Searching(epochs=[0, 1])])]
    assert_same_stories(*stories)


@pytest.fixture(scope="module")
def searching():
    """What was there before, within and after a search at the second epoch."""
    pl.seed_everything(1, verbose=False)
    searching = Searching()
    run = trainer(2, searching, min_epochs=2)
    run.fit(Untidy(), DataLoader(TensorDataset(*points()), batch_size=8, shuffle=True))
    return searching


WHOLE = ["weights", "gradients", "requires_grad", "modes", "optimizers", "progress", "global_step", "should_stop"]
WHOLE += ["callback_metrics", "logged_metrics", "python's random", "numpy's random", "torch's random"]
BUFFERS = ["body.1.num_batches_tracked", "body.1.running_var", "replaced", "average.n_averaged"]
OWN = ["hidden", "pair", "count", "losses", "by_name", "numpy_generator", "python_generator", "torch_generator"]
PARTS = (
    [[part] for part in WHOLE] + [["buffers", name] for name in BUFFERS] + [["attributes", "", name] for name in OWN]
)
PARTS += [["weights", "average.module.weight"], ["attributes", "mean_loss", "weight"]]


@pytest.mark.parametrize("path", PARTS, ids=" ".join)
def test_what_the_steps_change_is_back_after_them(searching, path):
    before, within, after = (reduce(getitem, path, page) for page in pages(searching))
    assert not same(before, within)
    assert same(before, after)


def pages(searching):
    return searching.before, searching.within, searching.after


def test_schedulers_rest_during_a_search(searching):
    assert searching.before["schedulers"] == searching.within["schedulers"] == searching.after["schedulers"]


def test_the_weights_of_an_average_that_the_module_owns_are_back(searching):
    before, within, after = (page["weights"]["average.module.weight"] for page in pages(searching))
    assert not same(before, within)
    assert same(before, after)


def test_schedulers_that_a_module_steps_itself_are_back():
    class Manual(Stranger):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            self.optimizers().zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            self.optimizers().step()
            self.lr_schedulers().step()

    searching = Searching()
    trainer(3, searching).fit(Manual(), **stranger()[1])
    before, within, after = (page["schedulers"] for page in pages(searching))
    assert within[0]["last_epoch"] == before[0]["last_epoch"] + 5
    assert same(before, after)


def test_the_gradient_scaler_is_back():
    searching = Searching()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    mixed = MixedPrecision("16-mixed", "cpu", scaler)
    trainer(2, searching, precision=None, plugins=[mixed]).fit(Stranger(), **stranger()[1])
    assert [page["scaler"]["scale"] for page in pages(searching)] == [8.0, 64.0, 8.0]


def test_an_object_that_two_attributes_share_and_that_cannot_be_copied_stays_whole():
    class Locked:
        def __init__(self):
            self.lock, self.uses = threading.Lock(), 0

    class Sharing(Stranger):
        def __init__(self):
            super().__init__()
            self.locked = self.net.locked = Locked()

        def training_step(self, batch, batch_idx):
            self.net.locked.uses += 1
            return super().training_step(batch, batch_idx)

    model = Sharing()
    trainer(2, Searching()).fit(model, **stranger()[1])
    assert model.locked.uses == 3 + 5 + 3


def test_a_tensor_with_a_history_within_an_object_is_back():
    class State:
        hidden, steps = None, 0

    class Nested(Stranger):
        def __init__(self):
            super().__init__()
            self.state = State()

        def training_step(self, batch, batch_idx):
            self.state.hidden = super().training_step(batch, batch_idx)
            self.state.steps += 1
            return self.state.hidden

    model = Nested()
    trainer(2, Searching()).fit(model, **stranger()[1])
    assert model.state.steps == 3 + 3


class Noisy(Dataset):
    """Rows with a random number of the given generator added."""

    def __init__(self, generator=None):
        self.generator = generator
        self.inputs, self.targets = points()

    def __len__(self):
        return 24

    def __getitem__(self, row):
        noise = torch.rand(()) if self.generator is None else self.generator.random()
        return self.inputs[row] + 0.1 * noise, self.targets[row]


class Endless(IterableDataset):
    """Rows in the order of its own generator, without a length."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def __iter__(self):
        rows = torch.randperm(24, generator=self.generator)
        return zip(*(part[rows] for part in points()), strict=True)


class Constant(Stranger):
    """Without a schedule, which would need a length."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def seeded():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize(
    "loader",
    [
        pytest.param(lambda: BatchLoader(*points(), batch_size=8, shuffle=True), id="BatchLoader"),
        pytest.param(lambda: DataLoader(Noisy(), 8, shuffle=True, generator=seeded()), id="a loader's generator"),
        pytest.param(lambda: DataLoader(Noisy(), 8, shuffle=True, num_workers=2), id="workers"),
        pytest.param(
            lambda: DataLoader(Noisy(), 8, shuffle=True, num_workers=2, persistent_workers=True, generator=seeded()),
            id="persistent workers",
        ),
        pytest.param(lambda: DataLoader(Noisy(np.random.default_rng(5)), 8), id="a data set's generator"),
        pytest.param(lambda: DataLoader(Subset(Noisy(random.Random(5)), range(23)), 8), id="a generator within"),
        pytest.param(lambda: DataLoader(Endless(), 8), id="no length"),
        pytest.param(
            lambda: DataLoader(Noisy(), 8, sampler=DistributedSampler(Noisy(), 1, 0)), id="a sampler's set_epoch"
        ),
    ],
)
def test_the_batches_are_those_of_a_training_without_a_search(loader):
    def make():
        return Constant(), {"train_dataloaders": loader()}

    assert_same_stories(told(make), told(make, Searching(epochs=[0, 1])))


def test_the_generator_of_validation_data_is_back():
    data = Noisy(random.Random(5))

    class HeldOut(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            before = data.generator.getstate()
            with undone(trainer):
                held_out_batch(trainer)
                assert data.generator.getstate() != before
            assert data.generator.getstate() == before

    trainer(1, HeldOut()).fit(Calling(), stranger()[1]["train_dataloaders"], DataLoader(data, 8))


@pytest.mark.parametrize(("raised", "ends_in"), [(RuntimeError, RuntimeError), (KeyboardInterrupt, SystemExit)])
def test_an_interrupted_search_restores_everything(raised, ends_in):
    class Breaking(Untidy):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            if self.count == 3 + 4:
                raise raised
            return loss

    class AtTheEnd(pl.Callback):
        def on_exception(self, trainer, pl_module, exception):
            self.callbacks, self.loggers, self.seen = trainer.callbacks, trainer.loggers, seen(trainer, pl_module)

    searching, at_the_end, logger = Searching(), AtTheEnd(), RecordingLogger()
    run = trainer(2, searching, at_the_end, logger=logger, min_epochs=2)
    with pytest.raises(ends_in):
        run.fit(Breaking(), DataLoader(TensorDataset(*points()), batch_size=8, shuffle=True))
    assert_same_stories([searching.before], [at_the_end.seen])
    assert at_the_end.callbacks[1:] == [searching, at_the_end]  # after the one that builds the net
    assert at_the_end.loggers == [logger]


class Killed(Stranger):
    """Ends its process within the search, which comes after the three batches of an epoch."""

    steps = 0

    def training_step(self, batch, batch_idx):
        self.steps += 1
        if self.steps == 3 + 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, batch_idx)


class Listing(pl.Callback):
    """Sends the names of all files in a folder at the start of each epoch."""

    def __init__(self, folder, connection):
        self.folder, self.connection = folder, connection

    def on_train_epoch_start(self, trainer, pl_module):
        self.connection.send(sorted(map(str, self.folder.rglob("*"))))


def search_and_die(folder, connection):
    os.chdir(folder)
    tempfile.tempdir = str(folder / "tmp")
    torch.set_num_threads(1)
    callbacks = [Listing(folder, connection), LRFinder(epochs=[1], folder="run"), ModelCheckpoint("run/checkpoints")]
    choices = {"enable_checkpointing": True, "logger": CSVLogger("run"), "default_root_dir": "run"}
    trainer(2, *callbacks, **choices).fit(Killed(), **stranger()[1])


def test_a_killed_search_leaves_no_file_behind(tmp_path):
    (tmp_path / "tmp").mkdir()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=search_and_die, args=[tmp_path, there])
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    _, files = here.recv(), here.recv()
    assert any(path.endswith(".ckpt") for path in files)
    assert sorted(map(str, tmp_path.rglob("*"))) == files


class RecordingLogger(Logger):
    """Keeps what it is called with."""

    name, version = "recording", 0

    def __init__(self):
        super().__init__()
        self.calls = []

    def log_metrics(self, metrics, step=None):
        self.calls.append(("metrics", {name: value for name, value in metrics.items() if name != "lr/suggested"}, step))

    def log_hyperparams(self, *args, **kwargs):
        self.calls.append(("hyperparams",))

    def after_save_checkpoint(self, checkpoint_callback):
        self.calls.append(("checkpoint",))

    def finalize(self, status):
        self.calls.append(("finalize", status))


class Calling(Stranger):
    """Calls its logger itself, and is validated."""

    def training_step(self, batch, batch_idx):
        if self.logger is not None:
            self.logger.log_metrics({"own": 1.0})
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.net(batch[0]).mean())


HOOKS = [name for name in dir(pl.Callback) if name.startswith("on_") or name in ("setup", "teardown")]


def with_validation():
    return stranger()[1] | {"val_dataloaders": BatchLoader(*points(), batch_size=12)}


def recording_callback():
    calls = []

    def hook(name):
        return lambda self, trainer, *args, **kwargs: calls.append((name, trainer.global_step))

    return type("Recording", (pl.Callback,), {name: hook(name) for name in HOOKS})(), calls


def calls_with(*search):
    pl.seed_everything(3, verbose=False)
    callback, calls = recording_callback()
    logger = RecordingLogger()
    run = trainer(2, callback, *search, logger=logger, val_check_interval=1)
    run.fit(Calling(), **with_validation())
    return calls, logger.calls


def test_callbacks_see_nothing_of_the_search():
    assert calls_with(finder(epochs=[0, 1]))[0] == calls_with()[0]


def test_loggers_see_nothing_of_the_search():
    assert calls_with(finder(epochs=[0, 1]))[1] == calls_with()[1]


def test_no_validation_runs_within_the_search():
    validated = []

    class Validated(Stranger):
        def validation_step(self, batch, batch_idx):
            validated.append(self.trainer.global_step)

    trainer(1, Searching(epochs=[0]), val_check_interval=1).fit(Validated(), **with_validation())
    assert validated == [1, 1, 2, 2, 3, 3]
