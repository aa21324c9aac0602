import pytest
import torch
from torch.testing import assert_close

from src.models.text.adaptive_decoder import AdaptiveDecoder

SIZE, VOCAB, CUTOFFS = 17, 11, [3, 7]


def make(size=SIZE, vocab_size=VOCAB, cutoffs=CUTOFFS):
    torch.manual_seed(0)
    return AdaptiveDecoder(size, vocab_size, cutoffs=cutoffs)


def features(*shape):
    return torch.randn(*shape, SIZE, generator=torch.Generator().manual_seed(1))


def test_a_decoder_that_knows_nothing_shares_equally_among_words_and_clusters_then_within_clusters():
    decoder = make()
    for parameter in decoder.parameters():
        torch.nn.init.zeros_(parameter)
    found = decoder(features(1)).exp()
    assert_close(found[0], torch.tensor([1 / 5] * 3 + [1 / 5 / 4] * 8))  # 3 words and 2 clusters, of 4 words each


def test_probabilities_sum_to_one():
    assert_close(make()(features(5, 2)).exp().sum(-1), torch.ones(5, 2))


def test_a_target_alone_has_the_probability_that_it_has_among_all_words():
    decoder, targets = make(), torch.arange(VOCAB)
    rows = features(VOCAB)
    assert_close(decoder.of_targets(rows, targets), decoder(rows).gather(1, targets[:, None]).squeeze(1))


def test_rare_words_cost_fewer_weights():
    shapes = [tuple(parameter.shape) for parameter in make().parameters()]
    assert shapes == [(5, 17), (4, 17), (4, 4), (1, 17), (4, 1)]  # a quarter, a sixteenth of 17 features


def test_autocast_takes_no_digits():
    decoder, rows, targets = make(), features(4), torch.tensor([0, 4, 10, 2])
    exact = decoder(rows), decoder.of_targets(rows, targets)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(decoder(rows), exact[0])
        assert torch.equal(decoder.of_targets(rows, targets), exact[1])
    assert decoder(rows.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [7, 3], [3, 3], [3, 11], [3, 20]])
def test_cutoffs_rise_within_the_vocabulary(cutoffs):
    with pytest.raises(ValueError, match=r"must rise between 0 and the vocabulary's 11 words, got \["):
        make(cutoffs=cutoffs)


def test_more_cutoffs_than_the_features_can_be_divided_by_are_refused():
    with pytest.raises(ValueError, match=r"3 cutoffs need 64 features or more, 4 times .* each cutoff; the last .* 17"):
        make(cutoffs=[2, 5, 7])
