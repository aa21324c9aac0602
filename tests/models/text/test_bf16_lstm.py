import pytest
import torch
from torch import nn

from src.models.text.bf16_lstm import BF16LSTM, cpu_has_bf16_lstm, is_bf16_on_cpu, is_faster
from src.models.text.weight_drop_lstm import WeightDropLSTM

TIME, BATCH, INPUT, HIDDEN = 12, 3, 20, 30


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return nn.LSTM(INPUT, HIDDEN)


def inputs(time=TIME):
    torch.manual_seed(1)
    shapes = (time, BATCH, INPUT), (BATCH, HIDDEN), (BATCH, HIDDEN)
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def results(run, inputs, weights):
    """Values of all time steps and the last cell, then the gradients of a loss that both enter."""
    output, cell = run(*inputs, *weights)
    torch.manual_seed(2)
    loss = (output.float() * torch.randn(output.shape)).sum() + (cell.float() * torch.randn(cell.shape)).sum()
    return [output, cell, *torch.autograd.grad(loss, [*inputs, *weights])]


def exact(features, hidden, cell, *weights):
    output, _, cell = torch.lstm(features, (hidden[None], cell[None]), weights, True, 1, 0.0, True, False, False)
    return output, cell[0]


def errors(found, right):
    """Of each tensor: the norm of what is wrong as a share of the whole's."""
    return [((a.float() - b).norm() / b.norm()).item() for a, b in zip(found, right, strict=True)]


@pytest.mark.parametrize("time", [1, 2, TIME])
def test_values_and_gradients_are_torchs_to_bfloat16s_precision(lstm, time):
    weights = list(lstm.parameters())
    found, right = results(BF16LSTM.apply, inputs(time), weights), results(exact, inputs(time), weights)
    assert [a.shape for a in found] == [b.shape for b in right]
    assert max(errors(found, right)) < 0.01  # a bfloat16 has 8 bits: rounding alone is wrong by 0.002


def test_gradients_come_in_the_type_of_what_they_are_of(lstm):
    _, _, *gradients = results(BF16LSTM.apply, inputs(), list(lstm.parameters()))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_what_it_was_given_stays_as_it_was(lstm):
    given, weights = inputs(), list(lstm.parameters())
    before = [tensor.detach().clone() for tensor in (*given, *weights)]
    results(BF16LSTM.apply, [tensor.detach().bfloat16().requires_grad_() for tensor in given], weights)
    results(BF16LSTM.apply, given, weights)
    assert all(torch.equal(a, b) for a, b in zip(before, (*given, *weights), strict=True))


def test_gradients_may_be_taken_twice(lstm):
    output, cell = BF16LSTM.apply(*inputs(), *lstm.parameters())
    loss = output.float().square().sum() + cell.float().sum()
    first, second = (torch.autograd.grad(loss, list(lstm.parameters()), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_it_is_faster_for_wide_layers_with_gradients_only():
    wide, narrow = torch.empty(4, 500_000, device="meta"), torch.empty(4, 499_999, device="meta")
    assert is_faster((wide,))
    assert is_faster((narrow, torch.empty(4, device="meta")))
    assert not is_faster((narrow,))
    with torch.no_grad():
        assert not is_faster((wide,))


def test_an_lstm_computes_in_bf16_under_autocast_only():
    features = torch.empty(TIME, BATCH, INPUT)
    assert not is_bf16_on_cpu(features.bfloat16())  # torch decides by itself
    assert not is_bf16_on_cpu(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert is_bf16_on_cpu(features)
        assert not is_bf16_on_cpu(features.to("meta"))
    with torch.autocast("cpu", torch.float16):
        assert not is_bf16_on_cpu(features)


@pytest.mark.parametrize("supported", [True, False])
def test_support_for_bf16_is_tried_once_and_draws_no_random_numbers(monkeypatch, supported):
    calls = []

    def lstm(*arguments):
        calls.append(torch.is_autocast_enabled("cpu"))
        if not supported:
            raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch, "lstm", lstm)
    cpu_has_bf16_lstm.cache_clear()
    before = torch.get_rng_state()
    assert [cpu_has_bf16_lstm(), cpu_has_bf16_lstm()] == [supported] * 2
    assert calls == [True]
    assert torch.equal(torch.get_rng_state(), before)
    cpu_has_bf16_lstm.cache_clear()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("supported", [True, False], ids=["BF16LSTM", "float32"])
def test_a_layer_gives_the_same_by_each_way(monkeypatch, supported, dropout):
    def run(changes):
        torch.manual_seed(3)
        net = WeightDropLSTM(INPUT, HIDDEN, weight_dropout=dropout)
        features, *_ = inputs()
        with monkeypatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
            for name, value in changes.items():
                patch.setattr(f"src.models.text.weight_drop_lstm.{name}", lambda *weights, value=value: value)
            first, between = net(features)
            second, (hidden, cell) = net(features, between)
        parts = [first, second, hidden, cell]
        sum(part.float().square().sum() for part in parts).backward()
        return parts, [*(part.float() for part in parts), *(p.grad for p in net.parameters())]

    found_parts, found = run({"cpu_has_bf16_lstm": supported, "is_faster": True})
    right_parts, right = run({})  # the default of this CPU, for a narrow layer
    assert [(part.shape, part.dtype) for part in found_parts] == [(part.shape, part.dtype) for part in right_parts]
    assert {part.dtype for part in found_parts} == {torch.bfloat16}
    assert max(errors(found, right)) < 0.02
