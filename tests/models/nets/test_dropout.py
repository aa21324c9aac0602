import pytest
import torch
from torch.testing import assert_close

from src.models.nets.dropout import DroppedEmbedding, LockedDropout, check_dropout


def test_locked_dropout_drops_the_same_features_at_every_time_step():
    torch.manual_seed(0)
    dropped = LockedDropout(0.5)(torch.ones(3, 2, 50))
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))


def test_each_track_has_a_mask_of_its_own():
    torch.manual_seed(0)
    dropped = LockedDropout(0.5)(torch.ones(3, 2, 50))
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


def test_each_window_has_a_mask_of_its_own():
    torch.manual_seed(0)
    dropout, features = LockedDropout(0.5), torch.ones(3, 2, 50)
    assert not torch.equal(dropout(features), dropout(features))


@pytest.mark.parametrize("rate", [0.1, 0.65])
def test_locked_dropout_zeroes_its_share_and_scales_the_rest(rate):
    torch.manual_seed(0)
    dropped = LockedDropout(rate)(torch.ones(3, 20, 1000))
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.015)  # 4 deviations of 20,000 draws
    assert_close(dropped[dropped != 0].unique(), torch.tensor([1 / (1 - rate)]))


@pytest.mark.parametrize("module", [LockedDropout(0.0), LockedDropout(0.5).eval()])
def test_locked_dropout_of_rate_0_or_in_eval_mode_changes_nothing(module):
    features = torch.randn(3, 2, 5)
    assert module(features) is features


def test_locked_dropout_keeps_the_type_of_its_features():
    assert LockedDropout(0.5)(torch.ones(3, 2, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16


def embedding(dropout, vocab_size=400):
    torch.manual_seed(0)
    return DroppedEmbedding(vocab_size, 5, dropout=dropout)


def test_all_occurrences_of_a_word_in_a_window_vanish_together():
    net, tokens = embedding(0.5), torch.randint(0, 400, (70, 20))
    with torch.no_grad():
        gone = (net(tokens) == 0).all(2)
    lost = gone.new_zeros(400).index_put((tokens,), gone)
    assert torch.equal(gone, lost[tokens])
    assert 100 < lost.sum() < 300


def test_a_word_that_stays_is_scaled_as_a_whole():
    net, tokens = embedding(0.2), torch.arange(400).view(40, 10)
    embedded = net(tokens)
    stays = (embedded != 0).all(2)
    assert torch.equal(stays, (embedded != 0).any(2))
    assert_close(embedded[stays], net.weight[tokens][stays] / 0.8)


def test_words_vanish_at_their_rate():
    net = embedding(0.1, vocab_size=20_000)
    gone = (net(torch.arange(20_000).view(100, 200)) == 0).all(2)
    assert gone.float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_other_words_vanish_in_the_next_window():
    net, tokens = embedding(0.5), torch.arange(400).view(40, 10)
    assert not torch.equal(net(tokens), net(tokens))


def test_only_words_that_stay_get_a_gradient():
    net, tokens = embedding(0.5), torch.arange(400).view(40, 10)
    embedded = net(tokens)
    embedded.sum().backward()
    stays = (embedded != 0).all(2).flatten()
    assert_close(net.weight.grad, 2.0 * stays[:, None].expand(400, 5))


@pytest.mark.parametrize("net", [embedding(0.0), embedding(0.5).eval()])
def test_an_embedding_of_rate_0_or_in_eval_mode_looks_words_up(net):
    tokens = torch.tensor([[3, 7, 3], [0, 399, 1]])
    assert torch.equal(net(tokens), net.weight[tokens])


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused_by_name(rate):
    with pytest.raises(ValueError, match=rf"within \[0, 1\), got input_dropout={rate}$"):
        check_dropout(hidden_dropout=0.5, input_dropout=rate)


@pytest.mark.parametrize("make", [LockedDropout, lambda rate: DroppedEmbedding(4, 5, dropout=rate)])
def test_modules_refuse_it_too(make):
    with pytest.raises(ValueError, match=r"got dropout=1\.0"):
        make(1.0)
