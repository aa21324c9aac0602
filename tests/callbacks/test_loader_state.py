from types import SimpleNamespace

from src.callbacks.loader_state import LoaderState


class Loader:
    def __init__(self, place):
        self.place = place

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


def trainer(loader):
    return SimpleNamespace(train_dataloader=loader)


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
    assert checkpoint == {}


def test_an_epoch_that_limit_train_batches_ended_counts_as_whole():
    class Limited(Loader):
        def state_dict(self):
            return {"next_batch": 2, "num_batches": 7}

    checkpoint = {}
    LoaderState().on_save_checkpoint(
        SimpleNamespace(train_dataloader=Limited(0), num_training_batches=2), None, checkpoint
    )
    assert checkpoint["train_loader"] == {"next_batch": 2, "num_batches": 2}
