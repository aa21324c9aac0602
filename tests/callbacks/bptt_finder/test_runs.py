import csv
import inspect

import pytest
from omegaconf import OmegaConf

from src.callbacks.bptt_finder.finder import BPTTFinder
from src.callbacks.loader_state import LoaderState
from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.random_state import RandomState
from src.datamodules.text.bptt_loader import BPTTLoader
from tests.support.programs import composed, same
from tests.support.read import (
    SHORT,
    Metrics,
    Reader,
    Text,
    fit,
    of_datamodule,
    of_loaders,
    of_varied,
    tokens,
)
from tests.support.tiny import save_after, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")


@pytest.mark.parametrize("is_first", [True, False])
def test_the_search_for_a_rate_comes_after_it_in_whatever_order_they_are_listed(is_first):
    finders = [BPTTFinder(**SHORT), LRFinder(num_steps=10, min_lr=1e-3, max_lr=0.3)]
    run, model = fit(*(finders if is_first else finders[::-1]))
    assert model.lengths.seen[:9] == 3 * [3] + 3 * [6] + 3 * [12]
    assert set(model.lengths.seen[9:]) == {12}
    assert run.lr_scheduler_configs[0].scheduler.total_steps == 12
    assert run.callback_metrics["bptt/suggested"] == 12
    assert model.lr == run.callback_metrics["lr/suggested"]


def test_a_search_for_a_rate_that_stops_keeps_the_found_bptt():
    metrics = Metrics()
    fit(LRFinder(num_steps=10, min_lr=1e-3, max_lr=0.3, stop=True), BPTTFinder(**SHORT), metrics)
    assert metrics.found["bptt/suggested"] == 12
    assert metrics.found["lr/suggested"] > 0


def test_stop_ends_fit_after_the_search(tmp_path, capsys):
    metrics = Metrics()
    run, _ = fit(BPTTFinder(**SHORT, apply=False, stop=True, folder=str(tmp_path / "run")), metrics)
    assert run.global_step == 0
    assert metrics.found["bptt/suggested"] == 12
    assert metrics.found["time/bptt_finder_s"] > 0
    with (tmp_path / "run" / "bptt_finder.csv").open() as file:
        assert [int(row["bptt"]) for row in csv.DictReader(file)] == [3, 6, 12]
    assert (tmp_path / "run" / "bptt_finder.png").read_bytes().startswith(b"\x89PNG")
    assert "<- suggested" in capsys.readouterr().out


@pytest.mark.parametrize("data", [of_datamodule, of_varied, of_loaders])
@pytest.mark.parametrize("step", [4, 6])
def test_a_resumed_run_goes_on_with_what_was_found(tmp_path, capsys, data, step):
    def callbacks():
        return [BPTTFinder(**SHORT), RandomState(), LoaderState()]

    whole, _ = fit(*callbacks(), save_after(step, tmp_path / "stopped.ckpt"), data=data())
    model, resumed = Reader(), callbacks()
    ending = trainer(2, *resumed)
    ending.fit(model, **data(), ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert same(dict(whole.lightning_module.state_dict()), dict(model.state_dict()))
    assert ending.lr_scheduler_configs[0].scheduler.total_steps == whole.global_step == ending.global_step
    assert resumed[0].search is None
    assert ending.callback_metrics["bptt/suggested"] == 12
    assert "bptt finder: no search, the run resumes from" in capsys.readouterr().out


def test_a_resumed_run_that_only_looked_keeps_its_own_bptt(tmp_path):
    fit(BPTTFinder(**SHORT, apply=False), save_after(5, tmp_path / "stopped.ckpt"))
    run = trainer(2, BPTTFinder(**SHORT, apply=False), LoaderState())
    run.fit(Reader(), Text(), ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert run.train_dataloader.bptt == 4


def test_a_run_resumed_from_one_without_a_search_has_none(tmp_path, capsys):
    fit(save_after(8, tmp_path / "stopped.ckpt"))
    finder = BPTTFinder(**SHORT)
    run = trainer(2, finder, LoaderState())
    run.fit(Reader(), Text(), ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert (finder.search, run.train_dataloader.bptt) == (None, 4)
    assert capsys.readouterr().out.endswith("; its bptt stays\n")


def test_a_run_that_is_to_stop_after_the_search_cannot_resume(tmp_path):
    fit(save_after(5, tmp_path / "stopped.ckpt"))
    with pytest.raises(ValueError, match=r"bptt_finder\.stop searches before a training: leave out resume"):
        trainer(2, BPTTFinder(**SHORT, stop=True)).fit(Reader(), Text(), ckpt_path=tmp_path / "stopped.ckpt")


def test_conf_lists_every_choice_with_the_value_that_code_has():
    chosen = OmegaConf.to_container(composed("callbacks=bptt_finder").callbacks.bptt_finder)
    assert chosen.pop("_target_") == "src.callbacks.bptt_finder.finder.BPTTFinder"
    defaults = {name: argument.default for name, argument in inspect.signature(BPTTFinder).parameters.items()}
    assert {**chosen, "folder": None, "ladder": tuple(chosen["ladder"])} == defaults
    only_looks = composed("callbacks=bptt_find").callbacks.bptt_finder
    assert (only_looks.apply, only_looks.stop) == (False, True)


def test_both_finders_compose():
    both = composed("callbacks=[bptt_finder,lr_finder]").callbacks
    assert {"bptt_finder", "lr_finder", "last"} <= both.keys()


class Ranked(Reader):
    """A track for each rank. Alone the first would take 12, the second 6. Each writes down the bptt it trains with."""

    def __init__(self, folder, clock):
        super().__init__()
        self.folder = folder
        self.tick = lambda seconds: setattr(clock, "seconds", clock.seconds + seconds)

    def train_dataloader(self):
        ranks = {"rank": self.global_rank, "world_size": self.trainer.world_size}
        return BPTTLoader(tokens(), batch_size=1, bptt=4, **ranks)

    def training_step(self, batch, batch_idx):
        self.tick((0.02, 1.0)[self.global_rank] if len(batch[0]) == 12 else 0.01)
        return super().training_step(batch, batch_idx)

    def on_train_end(self):
        (self.folder / f"rank_{self.global_rank}").write_text(f"{self.trainer.train_dataloader.bptt}")


def test_every_rank_takes_the_same_bptt(tmp_path, clock):
    finder = BPTTFinder(**SHORT | {"min_speed": 0.9}, folder=str(tmp_path))
    trainer(1, finder, devices=2, strategy="ddp_fork").fit(Ranked(tmp_path, clock))
    assert (tmp_path / "rank_0").read_text() == (tmp_path / "rank_1").read_text() == "6"
