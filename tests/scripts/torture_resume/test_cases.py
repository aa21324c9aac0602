"""A run reaches the same end from each of its checkpoints: what the torture tries at random, in order."""

import shutil
from pathlib import Path

import pytest
import pytorch_lightning as pl

from scripts.torture_resume.cases import CASES, write_data
from scripts.torture_resume.endings import differing, ending
from tests.support.programs import composed, run_here

SHORT = {
    "digits": ["trainer.max_epochs=2"],
    "digits_fine": ["trainer.max_epochs=3", "callbacks.lr_finder.epochs=[0,1]", "callbacks.freezing.epochs=1"],
    "table_plateau": ["trainer.max_epochs=3", "callbacks.stopper.patience=2"],
    "words": ["trainer.max_epochs=2"],
}


class Copies(pl.Callback):
    """Keeps run_dir as it was before each new last.ckpt and before the test, as if the run had been killed there."""

    def __init__(self, *, run_dir):
        self.run_dir = Path(run_dir)

    def on_train_batch_start(self, *args):
        last = self.run_dir / "checkpoints" / "last.ckpt"
        if last.is_file():
            copy = self.run_dir.with_name(f"copy_{last.stat().st_mtime_ns}")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.run_dir, copy)

    def on_test_start(self, *args):
        self.on_train_batch_start()


@pytest.mark.long  # tests/training/test_resume.py is quick
@pytest.mark.parametrize("case", SHORT)
def test_a_run_goes_on_to_the_same_end_from_each_of_its_checkpoints(case, tmp_path):
    write_data(tmp_path / "data")
    run_dir = tmp_path / "run"
    places = [f"run_dir={run_dir}", f"data_dir={tmp_path}/data", f"cache_dir={tmp_path}/cache"]
    choices = [*CASES[case].split(), *SHORT[case], *places, "trainer.log_every_n_steps=1"]
    choices.append("callbacks.last.pause_factor=0")  # a checkpoint after each validation, whatever the clock says
    copies = [
        "+callbacks.copies._target_=tests.scripts.torture_resume.test_cases.Copies",
        f"+callbacks.copies.run_dir={run_dir}",
    ]
    run_here(composed(*choices, *copies))
    whole, killed = ending(run_dir), sorted(tmp_path.glob("copy_*"))
    assert len(killed) > 2
    for copy in killed:
        shutil.rmtree(run_dir)
        shutil.move(copy, run_dir)
        run_here(composed(*choices, "resume=true"))
        assert list(differing(whole, ending(run_dir))) == []
