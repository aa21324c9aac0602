"""A net divided among two processes is to do what a whole one does, and to leave the same checkpoint."""

import pytest
import pytorch_lightning as pl
import torch

from scripts.torture_resume.endings import differing, ending
from tests.support.programs import checkpoint_of, composed, run_here, scores_of
from tests.training.test_checkpoint import Malicious
from tests.training.test_ddp import EXACT, curve, data_dir, kinds, settings  # noqa: F401

SMALLER = ("trainer.limit_train_batches=12", "trainer.gradient_clip_val=0.1")


@pytest.fixture(scope="module", params=kinds("images"))
def runs(request, data_dir, tmp_path_factory):  # noqa: F811
    """The folders of a training by one process, and of the same by two."""
    folders = [tmp_path_factory.mktemp(request.param) / name for name in ("one", "two")]
    given = [
        settings(request.param, devices, folder, data_dir, *SMALLER, by="fsdp")
        for devices, folder in enumerate(folders, 1)
    ]
    run_here(composed(*given[0]))
    run_here(composed(*given[1]))
    run_here(composed(*given[1], "task=test", f"checkpoint={folders[1]}/checkpoints/last.ckpt"))
    return folders


def test_a_divided_net_has_the_curve_and_the_scores_of_a_whole_one(runs):
    one, two = runs
    assert len(curve(one, "train/loss")) > 10
    assert curve(two, "train/loss") == pytest.approx(curve(one, "train/loss"), rel=EXACT)
    assert scores_of(two)["val/loss"] == pytest.approx(scores_of(one)["val/loss"], rel=EXACT)


def test_its_checkpoint_is_that_of_a_whole_one(runs):
    one, two = (checkpoint_of(folder) for folder in runs)
    torch.testing.assert_close(two["state_dict"], one["state_dict"], rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(two["optimizer_states"], one["optimizer_states"], rtol=1e-4, atol=EXACT)


class GoesOn(pl.Callback):
    """Sees that callbacks find in on_fit_start what they have loaded, and that the training does not begin anew."""

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.loaded = checkpoint["global_step"]

    def on_fit_start(self, trainer, pl_module):
        assert self.loaded == 1

    def on_train_start(self, trainer, pl_module):
        assert trainer.global_step == 1


def test_it_resumes_to_the_same_end_between_batches_that_accumulate(data_dir, tmp_path):  # noqa: F811
    # A step takes four batches, a checkpoint comes after three; each rank has batch norm's averages of its own rows.
    choices = ["model/net=cnn_small", "model.net.widths=[5]", "trainer.accumulate_grad_batches=4"]
    choices += ["trainer.val_check_interval=3", "trainer.limit_train_batches=12"]
    whole, resumed = (settings("images", 2, tmp_path / name, data_dir, *choices, by="fsdp") for name in "ab")
    run_here(composed(*whole))
    stop = ["+callbacks.stop._target_=tests.support.callbacks.stop_at.StopAt", "+callbacks.stop.step=2"]
    with pytest.raises(Exception, match="Stopped"):
        run_here(composed(*resumed, *stop))
    assert checkpoint_of(tmp_path / "b")["resume"]["gradients"]
    goes_on = "+callbacks.goes_on._target_=tests.training.test_fsdp.GoesOn"
    run_here(composed(*resumed, goes_on, "resume=true"))
    assert list(differing(ending(tmp_path / "a"), ending(tmp_path / "b"))) == []


class Infinite(pl.Callback):
    """Makes a weight infinite that rank 1 alone holds."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_rank == 1:
            next(pl_module.parameters()).detach().to_local().fill_(float("inf"))


def test_weights_that_are_not_finite_on_one_rank_are_saved_by_none(data_dir, tmp_path):  # noqa: F811
    infinite = ["+callbacks.infinite._target_=tests.training.test_fsdp.Infinite", "trainer.limit_train_batches=1"]
    with pytest.raises(Exception, match="weights are not finite after step 1"):
        run_here(composed(*settings("images", 2, tmp_path, data_dir, *infinite, by="fsdp")))
    assert not list((tmp_path / "checkpoints").glob("*"))


@pytest.mark.parametrize("callbacks", ["[default,ema]", "lr_finder"])
def test_what_needs_the_whole_net_is_refused(data_dir, tmp_path, callbacks):  # noqa: F811
    given = settings("images", 2, tmp_path, data_dir, f"callbacks={callbacks}", by="fsdp")
    with pytest.raises(Exception, match="trainer=fsdp divides it: choose trainer=ddp, or one device"):
        run_here(composed(*given))


def test_a_checkpoint_that_would_run_code_is_refused(data_dir, tmp_path):  # noqa: F811
    torch.save({"state_dict": Malicious(tmp_path / "harm")}, tmp_path / "bad.ckpt")
    given = settings("images", 2, tmp_path / "run", data_dir, f"checkpoint={tmp_path}/bad.ckpt", by="fsdp")
    with pytest.raises(Exception, match="is not a checkpoint of plain data and tensors"):
        run_here(composed(*given))
    assert not (tmp_path / "harm").exists()


@pytest.mark.long
def test_its_report_says_how_to_see_the_model(data_dir, tmp_path):  # noqa: F811
    given = settings("images", 2, tmp_path, data_dir, "callbacks=images", "trainer.max_epochs=1", by="fsdp")
    run_here(composed(*given, *SMALLER))
    run_here(composed(*given, "task=test", f"checkpoint={tmp_path}/checkpoints/last.ckpt"))
    page = (tmp_path / "report.html").read_text()
    assert f"python -m scripts.report {tmp_path} shows it whole" in page
    assert "grad_norm" not in (tmp_path / "metrics.csv").read_text()
