"""Names of classes that a drawing or a page could read as something else."""

import pytest

from tests.support.make_data import write_image_folder
from tests.support.programs import composed, run_here

NAMES = ["$_$", "$0_$10", r"\frac", "_", "^", "%s", "<b>&", "{}", "a" * 200, "two\nlines", "été", "猫", "\U0001f408"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    write_image_folder(folder / "photos", NAMES, rows={"train": 4, "test": 2}, size=(8, 8))
    places = [f"run_dir={folder}/run", f"data_dir={folder}", f"cache_dir={folder}/cache", "datamodule.folder=photos"]
    small = [
        "datamodule.image_size=8",
        "datamodule.batch_size=8",
        "model.net.widths=[4]",
        "trainer.max_epochs=1",
        "trainer.log_every_n_steps=1",
    ]
    run_here(composed("experiment=digits", *places, *small, "datamodule=image_folder"))
    return folder / "run"


def test_classes_of_any_name_are_trained_drawn_and_reported(run_dir):
    assert (run_dir / "confusion_matrix.png").is_file()
    assert (run_dir / "batch.png").is_file()
    page = (run_dir / "report.html").read_text()
    assert all(name in page for name in ("$_$", "$0_$10", r"\frac", "&lt;b&gt;&amp;", "猫", "\U0001f408"))
    assert "<b>&" not in page
