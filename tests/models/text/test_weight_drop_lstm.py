import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.dropout import drop
from src.models.text.weight_drop_lstm import PackedWeights, WeightDropLSTM

TIME, BATCH, INPUT, HIDDEN = 6, 3, 7, 5


def make(dropout=0.5, dtype=torch.float32):
    torch.manual_seed(0)
    return WeightDropLSTM(INPUT, HIDDEN, weight_dropout=dropout).to(dtype)


@pytest.fixture
def features():
    return torch.randn(TIME, BATCH, INPUT, generator=torch.Generator().manual_seed(1))


def state(scale=1.0):
    generator = torch.Generator().manual_seed(2)
    return tuple(scale * torch.randn(1, BATCH, HIDDEN, generator=generator) for _ in range(2))


def by_hand(lstm, features, weight_hh, state):
    """The LSTM's formulas, step by step: Hochreiter and Schmidhuber 1997 with forget gates, torch's order of gates."""
    h, c = (part[0] for part in state)
    outputs = []
    for x in features:
        gates = x @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + h @ weight_hh.T + lstm.bias_hh_l0
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs), (h[None], c[None])


@pytest.fixture
def dropped(monkeypatch):
    """All dropped weights, as they are drawn."""
    drawn = []

    def keep(weight, dropout):
        drawn.append(drop(weight, dropout))
        drawn[-1].retain_grad()
        return drawn[-1]

    monkeypatch.setattr("src.models.text.weight_drop_lstm.drop", keep)
    return drawn


@pytest.mark.parametrize("start", [None, state()])
@pytest.mark.parametrize("train", [True, False])
def test_without_dropout_values_and_gradients_are_torchs(features, start, train):
    net = make(dropout=0.0).train(train)
    reference = nn.LSTM(INPUT, HIDDEN)
    reference.load_state_dict(net.lstm.state_dict())
    results = []
    for lstm, x in ((net, features.clone().requires_grad_()), (reference, features.clone().requires_grad_())):
        output, (hidden, cell) = lstm(x, start)
        (output.square().sum() + hidden.sum() + cell.square().sum()).backward()
        results.append([output, hidden, cell, x.grad, *(p.grad for p in lstm.parameters())])
    assert_close(results[0], results[1], rtol=0, atol=0)


def test_one_mask_serves_all_time_steps(features, dropped):
    net = make()
    output, after = net(features, state())
    assert len(dropped) == 1
    assert_close((output, after), by_hand(net.lstm, features, dropped[0], state()))


def test_each_window_draws_a_mask_of_its_own(features, dropped):
    net = make()
    net(features), net(features)
    assert not torch.equal(*dropped)


def test_the_raw_weight_gets_the_masked_and_scaled_gradient(features, dropped):
    net = make(dropout=0.2)
    net(features, state())[0].square().sum().backward()
    mask = (dropped[0] != 0) / 0.8
    assert 0 < (mask == 0).sum() < mask.numel()
    assert_close(net.lstm.weight_hh_l0.grad, dropped[0].grad * mask, rtol=1e-4, atol=1e-7)  # 0.2 is 13107 / 65536


def test_gradients_are_those_of_the_formulas(features, dropped):
    net = make()
    net(features, state())[0].square().sum().backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    mask = (dropped[0].detach() != 0) * 2.0
    by_hand(net.lstm, features, net.lstm.weight_hh_l0 * mask, state())[0].square().sum().backward()
    assert_close(found, [p.grad for p in net.parameters()], rtol=1e-4, atol=1e-6)


def test_gradients_pass_gradcheck_in_float64(features):
    net = make(dtype=torch.float64)

    def loss(x, *weights):
        torch.manual_seed(3)  # the same mask each time
        output, (hidden, cell) = torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (x,))
        return output, hidden, cell

    names = [name for name, _ in net.named_parameters()]
    assert torch.autograd.gradcheck(loss, (features[:3].double().requires_grad_(), *net.parameters()))


def test_two_windows_may_run_before_their_gradients_are_taken(features):
    torch.manual_seed(4)
    net = make()
    torch.manual_seed(5)
    (net(features)[0].sum() + net(features)[0].sum()).backward()
    together = net.lstm.weight_hh_l0.grad.clone()
    net.zero_grad()
    torch.manual_seed(5)
    net(features)[0].sum().backward()
    net(features)[0].sum().backward()
    assert_close(net.lstm.weight_hh_l0.grad, together)


def test_in_eval_mode_the_raw_weights_run(features):
    net = make().eval()
    assert torch.equal(net(features)[0], net.lstm(features)[0])


def test_nothing_is_drawn_where_nothing_is_dropped(features):
    scored, undropped = make().eval(), make(dropout=0.0)
    before = torch.get_rng_state()
    scored(features), undropped(features)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_windows_are_one_long_window_with_the_state_carried(features):
    net = make().eval()
    whole, end = net(features)
    first, between = net(features[:2])
    second, last = net(features[2:], between)
    assert_close((torch.cat([first, second]), last), (whole, end))


def test_only_raw_weights_are_saved(features):
    net = make()
    net(features)
    assert list(net.state_dict()) == [f"lstm.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert [p.shape for p in net.parameters()] == [(20, 7), (20, 5), (20,), (20,)]


def test_training_moves_the_weights_that_run(features):
    net = make()
    before = net.eval()(features)[0].detach()
    net.train()(features)[0].sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    assert not torch.allclose(net.eval()(features)[0], before)


def test_a_copy_trains_on_its_own(features):
    net = make()
    net(features)
    twin = copy.deepcopy(net)
    twin(features)[0].sum().backward()
    assert twin.lstm.weight_hh_l0.grad is not None
    assert net.lstm.weight_hh_l0.grad is None
    other = WeightDropLSTM(INPUT, HIDDEN, weight_dropout=0.5)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(features)[0], net.eval()(features)[0])


@pytest.mark.parametrize("train", [True, False])
def test_under_autocast_windows_follow_one_another(features, train):
    net = make().train(train)
    with torch.autocast("cpu", torch.bfloat16):
        between = net(features)[1]
        output, _ = net(features, between)
    output.float().sum().backward()
    assert net.lstm.weight_hh_l0.grad.dtype == torch.float32
    net.eval()(features, between)  # outside autocast, as validation may be


def test_under_autocast_the_mask_is_as_exact(features, dropped):
    net = make()
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = net(features, state())
    assert dropped[0].dtype == torch.bfloat16
    assert_close(output.float(), by_hand(net.lstm, features, dropped[0].float(), state())[0], rtol=0.05, atol=0.02)


def test_weights_are_dropped_at_their_rate_and_scaled():
    torch.manual_seed(0)
    weight = torch.ones(400, 250)
    for rate in (0.05, 0.5, 0.8):
        dropped = drop(weight, rate)
        assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.0065)  # 4 deviations of 100,000 draws
        assert_close(
            dropped[dropped != 0], torch.tensor(1 / (1 - rate)).expand((dropped != 0).sum()), rtol=1e-4, atol=0
        )


def test_dropped_weights_are_independent_of_their_neighbours():
    torch.manual_seed(0)
    kept = (drop(torch.ones(400, 250), 0.5) != 0).double().flatten()
    for distance in (1, 2, 3, 4, 250):
        both = (kept[distance:] * kept[:-distance]).mean().item()
        assert both == pytest.approx(0.25, abs=0.006)


@pytest.mark.parametrize("shape", [(4, 1), (3, 5), (20, 5)])
def test_any_number_of_weights_can_be_dropped(shape):
    assert drop(torch.ones(shape), 0.5).shape == shape


def test_packed_weights_lie_one_behind_the_other_and_pass_their_gradients():
    weights = [p.detach().clone().requires_grad_() for p in make().parameters()]
    packed = PackedWeights.apply(*weights)
    assert_close(packed, tuple(weights))
    assert [p.storage_offset() for p in packed] == [0, 140, 240, 260]
    assert len({p.untyped_storage().data_ptr() for p in packed}) == 1
    sum((scale * p).sum() for scale, p in enumerate(packed, start=1)).backward()
    assert [w.grad.unique().tolist() for w in weights] == [[1.0], [2.0], [3.0], [4.0]]


def test_packed_weights_run_as_unpacked_ones(features):
    weights = tuple(make().parameters())
    choices = (True, 1, 0.0, True, False, False)
    assert_close(
        torch.lstm(features, state(), PackedWeights.apply(*weights), *choices),
        torch.lstm(features, state(), weights, *choices),
    )


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"within \[0, 1\), got weight_dropout=1.0"):
        WeightDropLSTM(INPUT, HIDDEN, weight_dropout=1.0)


@pytest.mark.parametrize("shape", [(TIME, BATCH, HIDDEN), (TIME, INPUT)])
def test_features_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"features must be \(time, batch, 7\), got"):
        make()(torch.zeros(shape))


def test_a_state_of_another_batch_is_refused(features):
    with pytest.raises(ValueError, match=r"must be of \[\(1, 2, 5\), .*\], got \[\(1, 3, 5\), \(1, 3, 5\)\]; start"):
        make()(features[:, :2], state())
