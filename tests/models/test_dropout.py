import pytest
import torch
from torch.testing import assert_close

from src.models.dropout import (
    Dropout,
    DroppedEmbedding,
    LockedDropout,
    check_dropout,
    drop,
    keep,
    random_mask,
)


def test_dropout_zeroes_single_values_at_its_rate_and_scales_the_rest():
    torch.manual_seed(0)
    values = torch.ones(400, 251, requires_grad=True)
    dropped = Dropout(0.3)(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.006)  # 4 deviations of 100,400 draws
    assert_close(dropped[dropped != 0].unique(), torch.tensor([1 / 0.7]))
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped)


@pytest.mark.parametrize("module", [Dropout(0.0), Dropout(0.5).eval()])
def test_dropout_of_rate_0_or_in_eval_mode_changes_nothing(module):
    features = torch.randn(3, 5)
    assert module(features) is features


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


@pytest.mark.parametrize("make", [Dropout, LockedDropout, lambda rate: DroppedEmbedding(4, 5, dropout=rate)])
def test_modules_refuse_it_too(make):
    with pytest.raises(ValueError, match=r"got dropout=1\.0"):
        make(1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_what_is_kept_keeps_its_value_and_its_gradient_and_the_rest_is_0(dtype):
    values = torch.tensor([[1.5, -2.0, torch.inf], [torch.nan, -0.25, 3.0]], dtype=dtype, requires_grad=True)
    mask = torch.tensor([[True, False, True], [False, True, False]])
    kept = keep(values, mask)
    assert kept.tolist() == [[1.5, 0.0, torch.inf], [0.0, -0.25, 0.0]]
    kept.backward(torch.full_like(values, 7.0))
    assert values.grad.tolist() == [[7.0, 0.0, 7.0], [0.0, 7.0, 0.0]]


def test_values_that_are_not_contiguous_are_kept_in_their_places():
    values, mask = torch.randn(5, 3, dtype=torch.float64).t().requires_grad_(), torch.rand(3, 5) < 0.5
    assert torch.equal(keep(values, mask), values * mask)
    assert torch.autograd.gradcheck(lambda values: keep(values, mask), values)


@pytest.mark.parametrize("rate", [0.1, 0.999999])
def test_a_random_mask_leaves_out_its_share(rate):
    torch.manual_seed(0)
    mask = random_mask(torch.empty(400, 251), rate)
    assert mask.shape == (400, 251)
    assert mask.float().mean().item() == pytest.approx(1 - rate, abs=0.004)  # 4 deviations of 100,400 draws


def test_dropped_weights_are_cast_as_autocast_would():
    torch.manual_seed(0)
    weight = torch.randn(3, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        dropped = drop(weight, 0.5)
    assert dropped.dtype == torch.bfloat16
    stayed = dropped != 0
    assert torch.equal(dropped[stayed], (2 * weight)[stayed].bfloat16())
    dropped.float().sum().backward()
    assert torch.equal(weight.grad, 2.0 * stayed)


def test_dropout_on_a_cpu_is_drop_and_elsewhere_torchs(monkeypatch):
    monkeypatch.setattr("src.models.dropout.drop", lambda values, rate: ("drop", rate))
    monkeypatch.setattr("src.models.dropout.F.dropout", lambda values, rate: ("torch", rate))
    assert Dropout(0.25)(torch.ones(3)) == ("drop", 0.25)
    assert Dropout(0.25)(torch.ones(3, device="meta")) == ("torch", 0.25)


def test_an_embedding_starts_uniform_within_a_tenth():
    weight = embedding(0.0, vocab_size=2000).weight
    assert weight.abs().max() <= 0.1
    assert weight.min() < -0.099
    assert weight.max() > 0.099
    assert weight.mean().abs() < 0.003  # 5 deviations of 10,000 draws


@pytest.fixture
def all_bits(monkeypatch):
    """Random words that hold each of the 65,536 values of 16 bits once."""
    values = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda words, low, high: words.copy_(values))


@pytest.mark.parametrize(
    ("rate", "dropped"), [(0.0, 0), (0.25, 16_384), (0.3, 19_661), (0.75, 49_152), (0.999999, 65_535)]
)
def test_the_chance_is_exact_to_16_bits_and_so_is_the_scale(all_bits, rate, dropped):
    assert (~random_mask(torch.empty(256, 256), rate)).sum() == dropped
    values = drop(torch.ones(65_536, dtype=torch.float64), rate)
    assert (values == 0).sum() == dropped
    assert values[values != 0].unique().item() == 65_536 / (65_536 - dropped)


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_a_mask_may_have_any_number_of_values(size):
    assert random_mask(torch.empty(size), 0.5).shape == (size,)


def test_a_mask_needs_one_random_word_for_four_values(monkeypatch):
    sizes = []
    draw = torch.Tensor.random_
    monkeypatch.setattr(torch.Tensor, "random_", lambda words, *range: sizes.append(len(words)) or draw(words, *range))
    for size in (4, 5, 8):
        random_mask(torch.empty(size), 0.5)
    assert sizes == [1, 2, 2]
