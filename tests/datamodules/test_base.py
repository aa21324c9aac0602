import pytest

from src.datamodules.base import fitting_batch_size


@pytest.mark.parametrize(
    ("rows", "size"),
    [(5, 5), (9, 8), (120, 8), (159, 8), (160, 16), (639, 32), (640, 64), (1279, 64), (1280, 128), (100_000, 128)],
)
def test_a_batch_is_a_power_of_two_that_leaves_ten_steps_an_epoch(rows, size):
    assert fitting_batch_size(rows, 128) == size


def test_the_largest_batch_need_not_be_a_power_of_two():
    assert [fitting_batch_size(windows, 20, 1) for windows in (1, 25, 319, 320)] == [1, 2, 16, 20]


@pytest.mark.parametrize("rows", [80, 127, 200, 777, 1000])
def test_an_epoch_has_ten_steps_or_more(rows):
    assert rows // fitting_batch_size(rows, 256) >= 10
