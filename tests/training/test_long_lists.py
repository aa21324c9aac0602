import math
import pickle

import pytest
import torch

from src.training.long_lists import KEY, SHORTEST, pack, unpack

LONG = [0.1 * n for n in range(SHORTEST)]


def checkpoint(**spec):
    return {"state_dict": {"w": torch.ones(2)}, "hyper_parameters": {"spec": spec}}


def same(one, other):
    return pickle.dumps(one["hyper_parameters"]) == pickle.dumps(other["hyper_parameters"])


@pytest.mark.parametrize(
    "value",
    [LONG, {"column": {"quantiles": LONG}}, [LONG, [1.0, 2.0]], [math.inf, -0.0, 1e-300, 0.1 + 0.2] * SHORTEST],
)
def test_lists_come_back_with_every_bit(value):
    packed = pack(checkpoint(value=value))
    assert not same(packed, checkpoint(value=value))
    assert same(unpack(packed), checkpoint(value=value))


@pytest.mark.parametrize("value", [LONG[1:], [*LONG, 1], list(range(SHORTEST)), ["word"] * SHORTEST, [True] * SHORTEST])
def test_short_lists_and_lists_of_other_things_stay(value):
    assert same(pack(checkpoint(value=value)), checkpoint(value=value))


def test_the_checkpoint_in_memory_is_left_as_it_was():
    original = checkpoint(value=LONG)
    pack(original)
    assert same(original, checkpoint(value=LONG))


def test_what_is_no_checkpoint_of_a_training_stays():
    weights = {"w": torch.ones(2)}
    assert pack(weights) is weights
    assert unpack(weights) is weights


def test_what_a_stranger_repeats_stays_one_object():
    bomb = [0.5]
    for _ in range(15):
        bomb = [bomb] * 100
    loop = []
    loop.append(loop)
    found = unpack(checkpoint(bomb=bomb, loop=loop))["hyper_parameters"]["spec"]
    assert found["bomb"][0] is found["bomb"][99]
    assert found["loop"][0] is loop


def test_a_tensor_that_is_longer_than_its_file_stays_a_tensor():
    endless = {KEY: torch.zeros(1, dtype=torch.float64).expand(1 << 40)}
    assert unpack(checkpoint(value=endless))["hyper_parameters"]["spec"]["value"][KEY].stride() == (0,)
