"""A net divided among two processes is to do what a whole one does, and to leave the same checkpoint."""

import pytest
import pytorch_lightning as pl
import torch

from tests.support.programs import checkpoint_of, composed, run_here, same, scores_of
from tests.training.test_checkpoint import Malicious
from tests.training.test_ddp import EXACT, curve, data_dir, kinds, settings  # noqa: F401

SMALLER = ("trainer.limit_train_batches=12", "trainer.gradient_clip_val=0.1")


@pytest.fixture(scope="module", params=kinds("images"))
def runs(request, data_dir, tmp_path_factory):  # noqa: F811
    """The folders of a training by one process, of the same by two, and of that one stopped and resumed."""
    folders = [tmp_path_factory.mktemp(request.param) / name for name in ("one", "two", "resumed")]
    given = [
        settings(request.param, devices, folder, data_dir, *SMALLER, by="fsdp")
        for devices, folder in zip((1, 2, 2), folders, strict=True)
    ]
    run_here(composed(*given[0]))
    run_here(composed(*given[1]))
    run_here(composed(*given[1], "task=test", f"checkpoint={folders[1]}/checkpoints/last.ckpt"))
    stop = ["+callbacks.stop._target_=tests.support.callbacks.stop_at.StopAt", "+callbacks.stop.step=8"]
    with pytest.raises(Exception, match="Stopped"):
        run_here(composed(*given[2], *stop, f"+callbacks.stop.path={folders[2]}/checkpoints/last.ckpt"))
    run_here(composed(*given[2], "resume=true"))
    return folders


def test_a_divided_net_has_the_curve_and_the_scores_of_a_whole_one(runs):
    one, two, _ = runs
    assert len(curve(one, "train/loss")) > 10
    assert curve(two, "train/loss") == pytest.approx(curve(one, "train/loss"), rel=EXACT)
    assert scores_of(two)["val/loss"] == pytest.approx(scores_of(one)["val/loss"], rel=EXACT)


def test_its_checkpoint_is_that_of_a_whole_one(runs):
    one, two = (checkpoint_of(folder) for folder in runs[:2])
    torch.testing.assert_close(two["state_dict"], one["state_dict"], rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(two["optimizer_states"], one["optimizer_states"], rtol=1e-4, atol=EXACT)


def test_it_resumes_to_the_same_end(runs):
    whole, resumed = (checkpoint_of(folder) for folder in runs[1:])
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step"):
        assert same(whole[part], resumed[part]), part


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
