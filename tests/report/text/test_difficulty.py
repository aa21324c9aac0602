from types import SimpleNamespace

import numpy as np
import pytest
import torch

from src.report.text.difficulty import (
    by_frequency,
    by_position,
    draw_frequencies,
    draw_positions,
    draw_shares,
    shares_of,
)
from src.report.text.losses import TextLosses

DATA = SimpleNamespace(trainer=None)


class Forgetful:
    """Its loss is 8 / n above what it is with a long past, n tokens after its state was zero; remembers its batches."""

    device = torch.device("cpu")

    def __init__(self):
        self.batches = []

    def token_losses(self, batch, state=None):
        assert state is None
        self.batches.append(batch)
        read = 1 + torch.arange(len(batch[0]))[:, None]
        return usual_losses(batch[1]) + 8 / read, None


def usual_losses(targets):
    return 2.0 + targets % 5


def text_of(steps, tracks, starts=()):
    """Targets 0, 1, ... in track after track; starts: (step, track) of documents."""
    targets = torch.arange(steps * tracks).view(tracks, steps).T
    begins = torch.zeros(steps, tracks, dtype=torch.bool)
    for place in starts:
        begins[place] = True
    batch = (targets, targets, begins) if starts else (targets, targets)
    return TextLosses(batch, usual_losses(targets), np.zeros(0), np.zeros(0), steps * tracks)


def test_a_position_s_loss_is_the_mean_plus_what_a_missing_past_adds():
    text = text_of(80, 3)
    bins = by_position(Forgetful(), DATA, text)
    assert [each.name for each in bins] == ["1", "2", "3-4", "5-8", "9-16"]
    added = [8, 4, (8 / 3 + 2) / 2, (8 / 5 + 8 / 6 + 8 / 7 + 1) / 4, sum(8 / n for n in range(9, 17)) / 8]
    assert [each.loss - text.mean for each in bins] == pytest.approx(added, abs=1e-5)
    assert [each.error for each in bins] == pytest.approx([0] * 5, abs=1e-6)
    assert [each.count for each in bins] == [12, 12, 24, 48, 96]


def test_segments_are_as_long_as_enough_of_them_allow():
    model = Forgetful()
    by_position(model, DATA, text_of(256 * 9, 1))
    assert model.batches[0][0].shape == (256, 8)


def test_segments_go_on_in_time_and_leave_out_the_track_s_beginning():
    model = Forgetful()
    by_position(model, DATA, text_of(72, 1))
    tokens = model.batches[0][0]
    assert tokens.shape == (8, 8)
    assert tokens.T.flatten().tolist() == list(range(8, 72))


def test_segments_in_which_a_document_begins_are_left_out():
    model = Forgetful()
    by_position(model, DATA, text_of(80, 1, starts=[(20, 0)]))
    tokens, _, starts = model.batches[0]
    assert tokens[0].tolist() == [8, *range(24, 80, 8)]
    assert not starts.any()


def test_segments_with_missing_targets_are_left_out():
    text, model = text_of(80, 1), Forgetful()
    text.batch[1][79] = -100
    by_position(model, DATA, text)
    assert model.batches[0][0][0].tolist() == list(range(8, 72, 8))


def test_a_short_text_has_no_positions():
    assert by_position(Forgetful(), DATA, text_of(71, 1)) == []


def test_the_axis_of_positions_names_each_bin_by_its_end():
    text = text_of(80, 3)
    axes = draw_positions(by_position(Forgetful(), DATA, text), text.mean).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8", "16"]


@pytest.fixture
def bins():
    """Tokens 0 to 4 stand 0, 9, 10, 99 and 1,000,000 times in the training text; the last target is none."""
    targets = torch.tensor([0, 1, 2, 3, 4, 4, 4, -100])[:, None]
    losses = torch.tensor([7.0, 6.0, 5.0, 3.0, 1.0, 2.0, 3.0, 0.0])[:, None]
    text = TextLosses((targets, targets), losses, np.zeros(0), np.zeros(0), 7)
    return by_frequency(text, np.array([0, 9, 10, 99, 1_000_000]))


def test_tokens_are_put_together_by_powers_of_ten(bins):
    found = [(each.name, each.loss, each.count) for each in bins]
    assert found == [("never", 7.0, 1), ("1 to 10", 6.0, 1), ("10 to 100", 4.0, 2), ("1M to 10M", 2.0, 3)]


def test_a_bin_s_error_is_the_standard_error_of_its_mean(bins):
    assert [each.error for each in bins] == pytest.approx([0, 0, 1.0, 1 / 3**0.5])


def test_shares_are_of_tokens_and_of_the_sum_of_losses(bins):
    shares = shares_of(bins)
    assert shares["of the tokens"].tolist() == pytest.approx([1 / 7, 1 / 7, 2 / 7, 3 / 7])
    assert shares["of the loss"].tolist() == pytest.approx([7 / 27, 6 / 27, 8 / 27, 6 / 27])


def test_both_plots_have_the_bins_from_top_to_bottom(bins):
    for figure in (draw_frequencies(bins), draw_shares(bins)):
        (axes,) = figure.axes
        assert [label.get_text() for label in axes.get_yticklabels()] == [each.name for each in bins]
        assert axes.yaxis_inverted()
