import pytest
import torch
from torch.testing import assert_close

from src.models.text.qrnn_layer import QRNNLayer


def make(input_size=3, hidden_size=5, **changes):
    torch.manual_seed(0)
    choices = {"pooling": "fo", "window": 2, "zoneout": 0.0, "weight_dropout": 0.0}
    return QRNNLayer(input_size, hidden_size, **(choices | changes))


def by_the_paper(layer, pooling, features, state=None):
    """Section 2 of Bradbury et al., one step and one row at a time, with the paper's f: the part of c that is kept."""
    size, window = layer.hidden_size, layer.window
    weight = layer.linear.weight.view(-1, size, window, layer.input_size)
    bias = layer.linear.bias.view(-1, size)
    rows = []
    for row in range(features.shape[1]):
        c = torch.zeros(size) if state is None else state[0][row]
        x_before = torch.zeros(layer.input_size) if state is None or window == 1 else state[1][row]
        outputs = []
        for x in features[:, row]:
            taps = [x] if window == 1 else [x_before, x]
            gate = [bias[g] + sum(weight[g, :, tap] @ taps[tap] for tap in range(window)) for g in range(len(bias))]
            z, f = torch.tanh(gate[0]), 1 - torch.sigmoid(gate[1])
            c = f * c + (torch.sigmoid(gate[3]) if pooling == "ifo" else 1 - f) * z
            outputs.append(c if pooling == "f" else torch.sigmoid(gate[2]) * c)
            x_before = x
        rows.append(torch.stack(outputs))
    return torch.stack(rows, 1)


def test_output_by_hand():
    layer = make(1, 1, pooling="fo", window=2)
    layer.linear.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    layer.linear.bias.data.zero_()
    hidden, (cell, last_input) = layer(torch.tensor([0.5, 0.25]).view(2, 1, 1))
    # z is tanh of two inputs' sum; both gates are sigmoid(0), a half.
    first = torch.tensor(0.5).tanh() / 2
    second = (first + torch.tensor(0.75).tanh()) / 2
    assert_close(hidden.flatten(), torch.stack([first, second]) / 2)
    assert_close(cell.flatten(), second.view(1))
    assert last_input.item() == 0.25


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
def test_it_equals_the_paper_step_by_step(pooling, window):
    layer, features = make(pooling=pooling, window=window), torch.randn(7, 2, 3)
    assert_close(layer(features)[0], by_the_paper(layer, pooling, features))
    state = tuple(torch.randn(2, size) for size in (5, 3)[:window])
    assert_close(layer(features, state)[0], by_the_paper(layer, pooling, features, state))


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
def test_gradients_equal_those_of_the_paper_step_by_step(pooling):
    layer, features = make(pooling=pooling), torch.randn(4, 2, 3, requires_grad=True)
    state = torch.randn(2, 5, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    wanted_from = [features, *state, *layer.parameters()]
    ours = torch.autograd.grad(layer(features, state)[0].square().sum(), wanted_from)
    assert_close(ours, torch.autograd.grad(by_the_paper(layer, pooling, features, state).square().sum(), wanted_from))


def test_one_matrix_product_serves_all_gates_and_steps(monkeypatch):
    calls = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *tensors: calls.append(tensors) or linear(*tensors))
    make(pooling="ifo")(torch.randn(7, 2, 3))
    assert len(calls) == 1


def test_zoneout_keeps_the_cell_with_its_chance_anew_at_each_step():
    layer = make(3, 1000, pooling="f", zoneout=0.3).train()
    cells, _ = layer(torch.randn(20, 1, 3))
    kept = (cells.diff(dim=0, prepend=torch.zeros(1, 1, 1000)) == 0).float()
    assert kept.mean().item() == pytest.approx(0.3, abs=0.01)  # 20,000 draws: 3 deviations
    assert kept.mean(0).std().item() == pytest.approx((0.3 * 0.7 / 20) ** 0.5, rel=0.2)  # locked, it would be 0.46


def test_zoneout_with_an_input_gate_forgets_nothing_but_still_takes_in():
    layer = make(pooling="ifo", window=1, zoneout=1 - 1e-7).train()
    _, (once,) = layer(torch.ones(1, 2, 3))
    _, (twice,) = layer(torch.ones(2, 2, 3))
    assert_close(twice, 2 * once)


def test_zoneout_does_not_rescale_what_it_leaves():
    features = torch.randn(1, 2, 3)
    plain, zoned = make(pooling="f"), make(pooling="f", zoneout=0.5).train()
    wanted, came = plain(features)[0], zoned(features)[0]
    assert_close(came[came != 0], wanted[came != 0])


def test_when_scored_zoneout_is_its_mean():
    layer, features = make(pooling="f", zoneout=0.25).eval(), torch.randn(1, 2, 3)
    assert_close(layer(features)[0], 0.75 * make(pooling="f").eval()(features)[0])  # one step from an empty cell


def test_weights_are_dropped_once_for_all_steps():
    layer = make(pooling="f", window=1, weight_dropout=0.5).train()
    hidden, _ = layer(torch.ones(4, 2, 3))
    # With the same gates at each step, each goes the same part of the way that is left.
    steps = hidden.diff(dim=0)
    assert_close(steps[2] * steps[0], steps[1] * steps[1])
    assert_close(hidden[:, 0], hidden[:, 1])


def test_weights_are_dropped_anew_in_each_window():
    layer, features = make(weight_dropout=0.5).train(), torch.ones(4, 2, 3)
    assert not torch.equal(layer(features)[0], layer(features)[0])


def test_gradients_spare_the_dropped_weights():
    layer = make(weight_dropout=0.5).train()
    layer(torch.rand(4, 2, 3) + 0.1)[0].sum().backward()
    share = (layer.linear.weight.grad == 0).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.2)


def test_nothing_is_dropped_when_scored():
    layer, features = make(weight_dropout=0.5).eval(), torch.randn(4, 2, 3)
    assert_close(layer(features)[0], make()(features)[0])


def test_the_state_keeps_no_window_in_memory():
    _, state = make()(torch.randn(9, 2, 3))
    assert [part.untyped_storage().nbytes() for part in state] == [4 * 2 * 5, 4 * 2 * 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "of"}, "pooling must be one of f, fo, ifo, got 'of'"),
        ({"window": 3}, "window must be 1 or 2, got 3"),
        ({"zoneout": 1.0}, r"within \[0, 1\), got zoneout=1.0"),
        ({"weight_dropout": -0.1}, r"within \[0, 1\), got weight_dropout=-0.1"),
    ],
)
def test_choices_it_does_not_know_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"features must be \(time, batch, 3\), got \(4, 2, 6\)"):
        make()(torch.randn(4, 2, 6))
    _, state = make()(torch.randn(4, 2, 3))
    with pytest.raises(ValueError, match=r"must be of \[\(1, 5\), \(1, 3\)\], got \[\(2, 5\), \(2, 3\)\]; start"):
        make()(torch.randn(4, 1, 3), state)
