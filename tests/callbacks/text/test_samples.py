from types import SimpleNamespace

import pytest

from src.callbacks.text.samples import TextSamples


@pytest.fixture
def path(tmp_path):
    (tmp_path / "samples.txt").write_text("epoch 0, step 3: ab\nepoch 1, step 6: ac\n")
    return tmp_path / "samples.txt"


def samples(path):
    return TextSamples(path=str(path), prompts=["a"], length=1, temperature=1.0, top_p=None)


def begun(callback):
    callback.on_train_start(SimpleNamespace(), SimpleNamespace())


def test_a_resumed_run_goes_on_where_the_file_ended_at_the_checkpoint(path):
    state = samples(path).state_dict()
    path.write_text(path.read_text() + "epoch 2, step 9: ad\n")
    resumed = samples(path)
    resumed.load_state_dict(state)
    begun(resumed)
    assert path.read_text() == "epoch 0, step 3: ab\nepoch 1, step 6: ac\n"


def test_a_new_run_begins_a_new_file(path):
    begun(samples(path))
    assert path.read_text() == ""


def test_a_file_that_is_gone_is_no_error(path):
    state = samples(path).state_dict()
    path.unlink()
    resumed = samples(path)
    resumed.load_state_dict(state)
    begun(resumed)
    assert not path.exists()
