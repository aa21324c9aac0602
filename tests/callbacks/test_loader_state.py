from types import SimpleNamespace

import pytest

from src.callbacks.loader_state import LoaderState


class Loader:
    def __init__(self, place):
        self.place = place

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


def trainer(loader, contents=None, task="fit"):
    data = SimpleNamespace() if contents is None else SimpleNamespace(contents=contents)
    return SimpleNamespace(train_dataloader=loader, datamodule=data, state=SimpleNamespace(fn=task))


def test_a_loader_made_before_the_checkpoint_was_loaded_gets_its_place():
    checkpoint, loader = {}, Loader(place=0)
    LoaderState().on_save_checkpoint(trainer(Loader(place=5)), None, checkpoint)
    callback = LoaderState()
    callback.on_load_checkpoint(trainer(loader), None, checkpoint)
    callback.on_train_start(trainer(loader), None)
    assert loader.place == 5


def test_a_loader_without_state_is_left_alone():
    checkpoint = {}
    LoaderState().on_save_checkpoint(trainer([1, 2]), None, checkpoint)
    assert "train_loader" not in checkpoint


def test_an_epoch_that_limit_train_batches_ended_counts_as_whole():
    class Limited(Loader):
        def state_dict(self):
            return {"next_batch": 2, "num_batches": 7}

    checkpoint = {}
    limited = trainer(Limited(0))
    limited.num_training_batches = 2
    LoaderState().on_save_checkpoint(limited, None, checkpoint)
    assert checkpoint["train_loader"] == {"next_batch": 2, "num_batches": 2}


def test_a_training_does_not_go_on_with_other_data():
    checkpoint = {}
    LoaderState().on_save_checkpoint(trainer([], {"train": "a", "test": "b", "valid": "c"}), None, checkpoint)
    LoaderState().on_load_checkpoint(trainer([], {"train": "a", "test": "b", "valid": "c"}), None, checkpoint)
    with pytest.raises(ValueError, match=r"data have changed since the checkpoint was saved \(more, test, train\)"):
        LoaderState().on_load_checkpoint(trainer([], {"train": "x", "valid": "c", "more": "d"}), None, checkpoint)


@pytest.mark.parametrize(("contents", "task"), [({"train": "x"}, "test"), ({}, "fit"), (None, "fit")])
def test_other_data_may_be_scored_and_data_that_do_not_tell_are_taken(contents, task):
    LoaderState().on_load_checkpoint(trainer([], contents, task), None, {"data": {"train": "a"}})
    LoaderState().on_load_checkpoint(trainer([], {"train": "a"}), None, {})
