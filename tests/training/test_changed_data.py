"""A run is not resumed on data that have changed, even by one letter."""

import os

import pytest

from tests.support.programs import checkpoint_of, composed, run_here
from tests.training.test_ddp import data_dir, settings  # noqa: F401

FILES = {"table": ("rows.csv", "u,", "v,"), "text": ("text/a.txt", "a", "b")}


@pytest.mark.parametrize("kind", FILES)
def test_a_run_goes_on_with_a_touched_file_and_not_with_a_changed_one(kind, data_dir, tmp_path):  # noqa: F811
    name, old, new = FILES[kind]
    given = settings(kind, 1, tmp_path, data_dir, "trainer.limit_train_batches=2")
    run_here(composed(*given, "trainer.max_epochs=1", "model/scheduler=constant"))
    os.utime(data_dir / name, ns=(0, 7))
    given = [*given, "model/scheduler=constant", "resume=true"]
    run_here(composed(*given, "trainer.max_epochs=2"))
    assert checkpoint_of(tmp_path)["global_step"] == 4
    text = (data_dir / name).read_text()
    (data_dir / name).write_text(text.replace(old, new, 1))
    # The spec of a table, which is compared first, may tell already.
    message = "data have changed since the checkpoint was saved .*train|was trained on other data"
    with pytest.raises(ValueError, match=message):
        run_here(composed(*given, "trainer.max_epochs=3"))
