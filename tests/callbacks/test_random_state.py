import random

import numpy as np
import torch

from src.callbacks.random_state import RandomState
from tests.support.tiny import trainer


def draws():
    return [torch.rand(3).tolist(), np.random.rand(2).tolist(), random.random(), np.random.randn(), random.gauss(0, 1)]


def restored(state):
    callback = RandomState()
    callback.load_state_dict(state)
    return callback


def test_after_the_first_hook_of_training_all_generators_go_on_as_saved():
    np.random.randn()  # leaves a second normal number waiting, which is state as well
    state = RandomState().state_dict()
    expected = draws()
    torch.rand(7), np.random.rand(5), random.random()
    restored(state).on_train_start(trainer(), None)
    assert draws() == expected


def test_loading_alone_changes_nothing():
    state = RandomState().state_dict()
    draws()
    before = torch.get_rng_state()
    restored(state)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_is_given_back_once():
    callback = restored(RandomState().state_dict())
    callback.on_train_start(trainer(), None)
    first = draws()
    callback.on_train_start(trainer(), None)
    assert draws() != first


def test_the_state_loads_as_plain_data(tmp_path):
    torch.save(RandomState().state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["ranks"][0]["python"][0] == 3
