"""The model of communication, on round numbers."""

import pytest

from scripts.benchmark_scaling.model import Link, efficiency, fit_link, min_batch

LINK = Link(latency_s=0.001, bytes_per_second=1e6)


def test_an_all_gather_of_four_ranks_sends_three_quarters():
    assert LINK.gather_s(8000, 4) == pytest.approx(0.009)  # three messages of 2,000 bytes: 3 x (1 ms + 2 ms)


def test_an_all_reduce_of_four_ranks_sends_six_quarters():
    assert LINK.all_reduce_s(8000, 4) == pytest.approx(0.018)


def test_a_step_of_ddp_sends_two_short_messages_too():
    assert LINK.ddp_s(8000, 4) == pytest.approx(0.018 + 2 * 6 * 0.001)


def test_one_rank_sends_nothing():
    assert LINK.ddp_s(8000, 1) == 0


@pytest.mark.parametrize("num_ranks", [2, 5])
def test_the_link_is_found_from_its_all_reduces(num_ranks):
    sizes = [100, 7000, 3_000_000]
    found = fit_link(sizes, [LINK.all_reduce_s(size, num_ranks) for size in sizes], num_ranks)
    assert found.latency_s == pytest.approx(LINK.latency_s)
    assert found.bytes_per_second == pytest.approx(LINK.bytes_per_second)


def test_efficiency_is_the_share_of_computing():
    assert efficiency(3.0, 1.0) == 0.75


def test_at_the_smallest_batch_several_devices_do_as_much_as_one():
    batch, compute_s, ddp_s, num_ranks = 30, 0.6, 0.5, 4
    smallest = min_batch(batch, compute_s, ddp_s, efficiency=1 / num_ranks)
    seconds_of_a_row = compute_s / batch
    assert num_ranks * efficiency(smallest * seconds_of_a_row, ddp_s) == pytest.approx(1)
