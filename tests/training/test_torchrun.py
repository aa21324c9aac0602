"""torchrun --max-restarts starts all ranks anew when one dies; with resume=auto they go on from the last checkpoint."""

import os

import pytest

from scripts.torture_resume.endings import differing, ending
from tests.support.callbacks.signal_at import SignalAt, signal_at
from tests.support.programs import ROOT, SMALL, new_process


class InFirstLife(SignalAt):
    """Sends the signal only in the processes that torchrun started first."""

    def _send(self, trainer, *args):
        if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            super()._send(trainer, *args)


def torchrun(run_dir, *overrides, cwd):
    """The finished process of torchrun, with two ranks and one restart."""
    launch = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "--monitor-interval", "0.1"]
    given = ["trainer=ddp_cpu", "resume=auto", f"run_dir={run_dir}", *overrides]
    return new_process("-m", "torch.distributed.run", *launch, ROOT / "train.py", *SMALL, *given, cwd=cwd)


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_of_which_a_rank_dies_is_restarted_and_ends_like_an_undisturbed_one(rank, tmp_path):
    dies = signal_at(hook="on_train_batch_start", step=5, signum=9, rank=rank)
    dies[0] = "+callbacks.signal._target_=tests.training.test_torchrun.InFirstLife"
    died, whole = torchrun(tmp_path / "died", *dies, cwd=tmp_path), torchrun(tmp_path / "whole", cwd=tmp_path)
    assert (died.returncode, whole.returncode) == (0, 0), died.stderr + whole.stderr
    assert f"failed (exitcode: -9) local_rank: {rank}" in died.stderr
    assert "note: resumed with other values" not in died.stderr
    assert list(differing(ending(tmp_path / "whole"), ending(tmp_path / "died"))) == []
