import numpy as np
import pytest

from src.callbacks.lr_finder.rules import (
    RULES,
    Curve,
    check_readable,
    combined,
    debiased_average,
    is_over,
    kernel_average,
    minimum,
    remarks,
    slide,
    steep,
    valley,
)

LADDER = np.geomspace(1e-7, 10, 100)


def curve(fall_at=-2.0, lowest_at=-0.5, noise=0.0, seed=0, rungs=100, scale=1.0, shift=0.0):
    """A loss that falls from 2.3 to 0.8 around 10^fall_at and explodes from 10^lowest_at on."""
    place = np.log10(LADDER)
    losses = 2.3 - 1.5 / (1 + np.exp(-4 * (place - fall_at))) + np.exp(np.minimum(3 * (place - lowest_at), 20)) / 10
    losses = losses + np.random.default_rng(seed).normal(0, noise, len(losses))
    return Curve(LADDER[:rungs], scale * losses[:rungs] + shift)


def straight_then_up(turn=60):
    """A loss of 1 to rung 20, then straight down to 0.2 at rung `turn`, then straight up."""
    rungs = np.arange(100)
    losses = np.interp(rungs, [0, 20, turn, 99], [1.0, 1.0, 0.2, 3.0])
    return Curve(LADDER, losses)


def test_the_debiased_average_of_a_constant_is_that_constant():
    assert debiased_average(np.full(7, 3.5)) == pytest.approx(3.5)


def test_the_debiased_average_weighs_what_it_has_seen():
    # (0.98 x 0.02 x 1 + 0.02 x 3) / (1 - 0.98^2) = (0.0196 + 0.06) / 0.0396
    assert debiased_average(np.array([1.0, 3.0])) == pytest.approx([1.0, 0.0796 / 0.0396])


def test_the_kernel_average_of_a_straight_fall_is_that_fall_away_from_its_ends():
    losses = np.linspace(3, 2, 100)
    smooth = kernel_average(Curve(LADDER, losses))
    assert smooth[20:80] == pytest.approx(losses[20:80], abs=1e-6)


def test_the_kernel_average_is_not_moved_by_how_far_a_loss_explodes():
    mild, wild = np.linspace(3, 2, 100), np.linspace(3, 2, 100)
    mild[90:], wild[90:] = 100.0, 1e9
    assert kernel_average(Curve(LADDER, mild)).tolist() == kernel_average(Curve(LADDER, wild)).tolist()


@pytest.mark.parametrize("last", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_ends_the_search_at_once(last):
    assert is_over([2.0, last])


def test_the_first_ten_steps_never_end_it_for_noise():
    assert not is_over([1.0] + [1000.0] * 9)
    assert is_over([1.0] + [1000.0] * 10)


def test_it_ends_beyond_four_times_the_best_smoothed_loss():
    def losses_of(smoothed):
        """The losses whose debiased average is this."""
        weights = 1 - 0.98 ** np.arange(1, len(smoothed) + 1)
        averages = np.array(smoothed) * weights
        return (
            np.diff(0.98 ** -np.arange(1, len(smoothed) + 1) * averages, prepend=0)
            * 0.98 ** np.arange(1, len(smoothed) + 1)
            / 0.02
        )

    assert not is_over(losses_of([2.0] * 11 + [0.5, 1.99]).tolist())
    assert is_over(losses_of([2.0] * 11 + [0.5, 2.01]).tolist())


def test_a_falling_negative_loss_does_not_end_it():
    assert not any(is_over(list(np.linspace(2, -3, 50)[:count])) for count in range(1, 51))


def test_a_negative_loss_that_rises_far_ends_it():
    assert is_over([*np.linspace(2, -3, 50), *[1e4] * 20])


def test_minimum_is_a_tenth_of_the_lowest_point():
    smoothed = straight_then_up().smoothed
    assert minimum(straight_then_up()) == pytest.approx(LADDER[np.argmin(smoothed)] / 10)


def test_minimum_stays_within_the_ladder():
    falls_at_once = Curve(np.geomspace(0.1, 10, 100), straight_then_up(25).losses)
    assert minimum(falls_at_once) == pytest.approx(0.1)


def test_steep_is_where_the_smoothed_loss_falls_fastest():
    smoothed = curve().smoothed
    steps = np.diff(smoothed[10:95])
    steepest = 10 + int(np.argmin(steps))
    assert LADDER[steepest - 1] <= steep(curve()) <= LADDER[steepest + 1]


def test_valley_lies_half_way_down_the_longest_fall():
    losses = np.concatenate([np.full(20, 2.0), np.linspace(2.0, 1.0, 60), np.linspace(1.2, 9.0, 20)])
    # The average falls from rung 20 to about rung 80 and then rises.
    assert LADDER[45] < valley(Curve(LADDER, losses)) < LADDER[55]


def test_slide_moves_its_window_down_as_long_as_the_slopes_at_its_ends_differ():
    chosen = slide(straight_then_up())
    slopes = np.gradient(straight_then_up().smoothed[10:95])
    left = LADDER[10:95].tolist().index(chosen)
    assert all(abs(slopes[i + 15] - slopes[i]) > 0.005 for i in range(left, 70))
    assert abs(slopes[left + 14] - slopes[left - 1]) <= 0.005


# 1.2 - 0.5 x mean - 0.2 lg epochs, within 0.2 and 0.95
@pytest.mark.parametrize(
    ("mean", "epochs", "share"), [(1.0, 1, 0.7), (0.5, 1, 0.95), (0.5, 10, 0.75), (0.1, 1, 0.95), (1.0, 1e4, 0.2)]
)
def test_combined_is_where_its_share_of_the_fall_is_reached(mean, epochs, share):
    losses = np.interp(np.arange(100), [0, 30, 70, 75, 99], [2.0, 2.0, 1.0, 1.0, 1.9])
    smooth = kernel_average(Curve(LADDER, losses))
    chosen = combined(Curve(LADDER, losses, mean, epochs))
    assert np.interp(np.log(chosen), np.log(LADDER), smooth) == pytest.approx(2.0 - share * (2.0 - smooth.min()))


def test_combined_rises_as_the_schedule_spends_less_time_at_its_peak():
    chosen = [combined(Curve(LADDER, curve().losses, mean)) for mean in (1.0, 0.8, 0.5)]
    assert chosen == sorted(set(chosen))


def test_combined_falls_as_the_data_are_seen_more_often():
    chosen = [combined(Curve(LADDER, curve().losses, 0.8, epochs)) for epochs in (100, 10, 1)]
    assert chosen == sorted(set(chosen))


@pytest.mark.parametrize("rule", ["combined", "minimum", "steep", "valley"])
def test_a_rule_does_not_depend_on_the_units_of_the_loss(rule):
    chosen = RULES[rule](curve(noise=0.02))
    assert RULES[rule](curve(noise=0.02, scale=7.0, shift=-30.0)) == pytest.approx(chosen)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rungs", [10, 11, 14, 27, 60, 100])
def test_a_rule_answers_within_the_ladder_whatever_the_curve(rule, seed, rungs):
    noisy = curve(noise=0.3, seed=seed, rungs=rungs)
    assert noisy.lrs[0] <= RULES[rule](noisy) <= noisy.lrs[-1]


@pytest.mark.parametrize("rule", RULES)
def test_a_last_loss_that_is_not_finite_changes_nothing_else(rule):
    whole = curve(rungs=90)
    broken = Curve(LADDER[:91], np.append(whole.losses, np.nan))
    assert RULES[rule](broken) == pytest.approx(RULES[rule](whole))


def test_combined_moves_little_with_the_noise_of_the_batches():
    chosen = [combined(curve(noise=0.1, seed=seed)) for seed in range(20)]
    assert max(chosen) / min(chosen) < 2


def test_a_curve_that_diverges_at_once_says_what_to_change():
    broken = Curve(LADDER[:4], np.array([2.0, 2.1, 9.0, np.nan]))
    with pytest.raises(ValueError, match=r"curve of 3 steps: .* lower lr_finder\.min_lr \(now 1e-07\)"):
        check_readable(broken, LADDER)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_flat_curve_says_what_to_change(noise):
    losses = 2.0 + np.random.default_rng(0).normal(0, noise, 100)
    with pytest.raises(ValueError, match=r"no fall of the loss: .* try larger batches"):
        check_readable(Curve(LADDER, losses), LADDER)


def test_a_noisy_curve_with_a_fall_can_be_read():
    check_readable(curve(noise=0.3), LADDER)


def test_a_loss_that_still_falls_at_the_end_is_remarked_on():
    falling = Curve(LADDER, np.linspace(3, 1, 100))
    assert remarks(falling, LADDER) == ["the loss still fell at the end of the ladder: raise lr_finder.max_lr (now 10)"]


def test_a_loss_that_is_lowest_near_the_start_is_remarked_on():
    ladder = np.geomspace(0.01, 10, 100)
    assert "lower lr_finder.min_lr (now 0.01)" in remarks(Curve(ladder, straight_then_up(25).losses), ladder)[0]


def test_a_good_curve_gives_no_remark():
    assert remarks(curve(), LADDER) == []
