import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from src.callbacks.bptt_finder.finder import BPTTFinder
from src.datamodules.loader import BatchLoader
from tests.support.programs import same
from tests.support.read import (
    SHORT,
    Reader,
    Text,
    assert_same_stories,
    fit,
    found,
    of_datamodule,
    of_loaders,
    of_plain_loaders,
    of_varied,
    tokens,
    told,
)
from tests.support.searched import Story
from tests.support.tiny import trainer

WAYS = pytest.mark.parametrize("data", [of_datamodule, of_varied, of_plain_loaders, of_loaders])
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")


@pytest.mark.parametrize("data", [of_datamodule, of_plain_loaders, of_loaders])
def test_each_length_gets_a_warm_up_step_and_its_steps(data):
    model = Reader()
    rungs = found(model, data()).rungs
    assert model.lengths.seen == 3 * [3] + 3 * [6] + 3 * [12]
    assert [rung.steps_per_epoch for rung in rungs] == [24, 12, 6]
    assert all(len(rung.losses) == len(rung.gradient_norms) == 3 for rung in rungs)


def test_each_length_begins_with_the_same_weights_and_the_first_token():
    class Recording(Reader):
        def training_step(self, batch, batch_idx):
            first.append((self.head.weight.detach().clone(), batch[0][:3].clone(), self.state))
            return super().training_step(batch, batch_idx)

    first = []
    found(Recording())
    assert same(first[0], first[3])
    assert same(first[0], first[6])
    assert not same(first[0], first[1])


def test_more_steps_than_windows_begin_anew():
    model = Reader()
    found(model, ladder=[30], steps=4)
    assert model.lengths.seen == [30, 30, 12, 30, 30]


def test_an_epoch_of_shorter_windows_is_longer():
    class Counting(Reader):
        def training_step(self, batch, batch_idx):
            places.append(batch_idx)
            return super().training_step(batch, batch_idx)

    places = []
    found(Counting(), of_datamodule(36), ladder=[12], steps=7)
    assert places == [0, 1, 2, 3, 4, 5, 0, 1]


def test_a_length_that_makes_an_epoch_one_step_ends_the_search():
    model = Reader()
    search = found(model, ladder=[36, 72, 144])
    assert search.verdicts == ["", "an epoch is one step"]
    assert set(model.lengths.seen) == {36}


def test_a_module_that_asks_for_the_loader_meets_the_one_that_is_tried():
    class Asking(Reader):
        def loss(self, batch):
            assert self.trainer.train_dataloader.bptt == len(batch[0])
            return super().loss(batch)

    run, _ = fit(BPTTFinder(**SHORT), model=Asking(), data=of_datamodule(4))
    assert run.train_dataloader.bptt == 12


def test_accumulated_windows_count_in_their_step():
    finder = BPTTFinder(**SHORT)
    run = trainer(accumulate_grad_batches=3)
    model = Reader()
    rungs = finder.find(run, model, Text()).rungs
    assert [rung.steps_per_epoch for rung in rungs] == [8, 4, 2]
    assert model.lengths.seen == 9 * [3] + 9 * [6] + 9 * [12]


class Slope(Reader):
    """A loss that is 1 weight^time: its gradient is time x weight^(time - 1)."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def loss(self, batch):
        return self.weight ** len(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.0)


def test_the_gradient_norm_is_that_before_it_is_clipped():
    pl.seed_everything(3, verbose=False)
    search = BPTTFinder(**SHORT).find(trainer(gradient_clip_val=0.1), Slope(1.5), Text())
    assert search.rungs[0].gradient_norms == pytest.approx(3 * [3 * 1.5**2])


def test_a_gradient_that_explodes_with_the_window_ends_the_search():
    search = found(Slope(1.5))
    assert search.growth(search.rungs[1]) == pytest.approx(6 * 1.5**5 / (3 * 1.5**2))  # 6.75
    assert search.verdicts == ["", "", "gradient above x 10"]
    assert found(Slope(1.5), max_growth=6).verdicts == ["", "gradient above x 6"]


def test_a_loss_that_is_not_finite_ends_the_search():
    class Diverging(Reader):
        def loss(self, batch):
            return super().loss(batch) * (math.nan if len(batch[0]) > 3 else 1.0)

    search = found(Diverging())
    assert search.verdicts == ["", "loss not finite"]
    assert len(search.rungs[1].losses) == 1


def test_speed_counts_the_tokens_of_a_step_over_its_time(clock):
    class Slow(Reader):
        def loss(self, batch):
            clock.seconds += 0.02 if len(batch[0]) < 12 else 0.25
            return super().loss(batch)

    search = found(Slow(), min_speed=0.5)
    assert [rung.step_s for rung in search.rungs] == pytest.approx([0.02, 0.02, 0.25])
    # 2 tracks of 3, 6 and 12 tokens
    assert [rung.tokens_per_second for rung in search.rungs] == pytest.approx([300.0, 600.0, 96.0])
    assert search.verdicts[2] == "below 0.5 of fastest"
    assert search.suggestion == 6


def test_the_first_step_is_not_timed(clock):
    class Compiling(Reader):
        def loss(self, batch):
            clock.seconds += 0.3 if batch[0][0, 0] == tokens()[0] and self.state is None else 0.02
            return super().loss(batch)

    steps = [rung.step_s for rung in found(Compiling(), ladder=[3, 6]).rungs]
    assert steps == pytest.approx([0.02, 0.02])


class Filling(Reader):
    """Takes 4 MB for each token of a track, of numpy: torch's aligned blocks fit badly where one was before."""

    def loss(self, batch):
        np.ones((len(batch[0]), 2**20), np.float32)
        return super().loss(batch)


def test_peak_memory_is_measured_for_each_length():
    rungs = found(Filling(), ladder=[6, 12, 36]).rungs
    memory = [rung.memory_mb for rung in rungs]
    assert [more - less for more, less in zip(memory[1:], memory, strict=False)] == pytest.approx([24, 96], abs=12)


def test_a_budget_ends_the_search():
    least = found(Filling(), ladder=[6]).rungs[0].memory_mb
    search = found(Filling(), ladder=[6, 36, 72], memory_mb=least + 60)
    assert search.verdicts == ["", f"above {least + 60:,.0f} MB"]
    assert search.suggestion == 6


def test_a_length_that_will_exceed_the_budget_is_not_tried():
    least = found(Filling(), ladder=[3]).rungs[0].memory_mb
    model = Filling()
    search = found(model, ladder=[3, 6, 12, 72], memory_mb=least + 150)
    assert max(model.lengths.seen) == 12
    assert search.verdicts[3].startswith("not tried: ")
    assert search.suggestion == 12


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), MemoryError()], ids=["gpu", "cpu"]
)
def test_running_out_of_memory_ends_the_search_and_leaves_no_trace(error):
    class Exhausting(Reader):
        def loss(self, batch):
            if len(batch[0]) > 6:
                raise error
            return super().loss(batch)

    finder = BPTTFinder(**SHORT)
    run, model = fit(finder, model=Exhausting())
    assert finder.search.verdicts == ["", "", "out of memory"]
    assert (finder.found, run.global_step) == (6, 2 * 12)
    assert model.lengths.seen[7:] == 24 * [6]


def test_another_error_is_raised():
    class Broken(Reader):
        def loss(self, batch):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        found(Broken())


@WAYS
def test_a_training_with_a_search_equals_one_without_it(data):
    assert_same_stories(told(data=data()), told(BPTTFinder(**SHORT, apply=False), data=data()))


@WAYS
def test_a_training_after_find_equals_one_without_it(data):
    pl.seed_everything(3, verbose=False)
    story, model, given = Story(), Reader(), data()
    run = trainer(2, story)
    BPTTFinder(**SHORT).find(run, model, **given)
    run.fit(model, **given)
    assert same([page["weights"] for page in story.pages], [page["weights"] for page in told(data=data())])


@WAYS
def test_a_training_that_finds_its_bptt_equals_one_that_was_given_it(data):
    assert_same_stories(told(data=data(12)), told(BPTTFinder(**SHORT), data=data(4)))


def test_windows_steps_and_schedule_are_those_of_the_found_bptt():
    data = Text()
    run, model = fit(BPTTFinder(**SHORT), data={"datamodule": data})
    assert model.lengths.seen[9:] == 2 * 6 * [12]
    assert (data.bptt, run.train_dataloader.bptt, run.num_training_batches, run.global_step) == (12, 12, 6, 12)
    assert run.lr_scheduler_configs[0].scheduler.total_steps == 12
    assert run.val_check_batch == 6
    assert run.val_dataloaders.bptt == 12


def test_limit_train_batches_is_a_share_of_the_new_windows():
    run, _ = fit(BPTTFinder(**SHORT), limit_train_batches=0.5)
    assert (run.num_training_batches, run.global_step) == (3, 6)


def test_other_callbacks_see_the_new_number_of_batches_from_the_first_epochs_start():
    class Counting(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            self.batches = trainer.num_training_batches

    counting = Counting()
    fit(counting, BPTTFinder(**SHORT))
    assert counting.batches == 6


def test_it_is_a_metric_and_a_hyperparameter():
    run, model = fit(BPTTFinder(**SHORT))
    assert run.callback_metrics["bptt/suggested"] == 12
    assert model.hparams["bptt/suggested"] == 12


def test_a_schedule_of_optimizers_that_would_hold_others_is_not_built_anew_silently():
    class Growing(Reader):
        def configure_optimizers(self):
            self.extra = nn.Linear(2, 2)
            return super().configure_optimizers()

    with pytest.raises(ValueError, match=r"bptt_finder.apply .* other parameters.* set datamodule.bptt by hand"):
        fit(BPTTFinder(**SHORT), model=Growing())


def test_a_loader_without_windows_is_an_error():
    loader = BatchLoader(tokens(12), batch_size=2)
    with pytest.raises(
        TypeError, match=r"needs a training loader or a datamodule with bptt.*; BatchLoader and NoneType"
    ):
        BPTTFinder().find(trainer(), Reader(), train_dataloaders=loader)


def test_that_nothing_will_do_is_an_error_after_the_table(capsys):
    class Diverged(Reader):
        def loss(self, batch):
            return super().loss(batch) * math.nan

    with pytest.raises(ValueError, match=r"no usable bptt: 3, the shortest, fails \(loss not finite\)"):
        fit(BPTTFinder(**SHORT), model=Diverged())
    assert "loss not finite" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"ladder": []}, r"ladder must be positive and increase, got \[\]"),
        ({"ladder": [8, 8]}, r"ladder must be positive and increase, got \[8, 8\]"),
        ({"ladder": [0, 8]}, "ladder must be positive"),
        ({"steps": 0}, "steps >= 1 and memory_mb > 0 or null, got steps=0"),
        ({"memory_mb": 0}, "memory_mb=0"),
        ({"max_growth": 0.5}, "max_growth >= 1 and min_speed within"),
        ({"min_speed": 1.5}, "min_speed=1.5"),
    ],
)
def test_a_wrong_choice_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        BPTTFinder(**choices)
