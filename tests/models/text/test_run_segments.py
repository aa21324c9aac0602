import pytest
import torch
from torch.testing import assert_close

from src.models.text.qrnn_layer import QRNNLayer
from src.models.text.run_segments import run_segments
from src.models.text.weight_drop_lstm import WeightDropLSTM

TIME, BATCH, INPUT, HIDDEN = 7, 3, 4, 5

# Where documents begin in each track: in mid-window, at both ends, side by side, nowhere.
STARTS = {0: [2, 5], 1: [0, 2, 3, 6], 2: []}


def starts():
    found = torch.zeros(TIME, BATCH, dtype=torch.bool)
    for track, times in STARTS.items():
        found[times, track] = True
    return found


LAYERS = {
    "lstm": lambda: WeightDropLSTM(INPUT, HIDDEN, weight_dropout=0.5),
    **{
        f"qrnn-{pooling}-{window}": lambda pooling=pooling, window=window: QRNNLayer(
            INPUT, HIDDEN, pooling=pooling, window=window, zoneout=0.0, weight_dropout=0.5
        )
        for pooling in ("f", "fo", "ifo")
        for window in (1, 2)
    },
}


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    return LAYERS[request.param]().double()


def random_state(layer):
    sizes = [(1, BATCH, HIDDEN)] * 2 if isinstance(layer, WeightDropLSTM) else [(BATCH, HIDDEN), (BATCH, INPUT)]
    number = 2 if isinstance(layer, WeightDropLSTM) else layer.window
    return tuple(torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes[:number])


def by_document(layer, features, state):
    """Each document of each track by itself, the first of a track with the state before the window."""
    outputs, after = [], []
    for track, times in STARTS.items():
        alone, parts = tuple(part[..., track : track + 1, :] for part in state), []
        for start, stop in zip([0, *times], [*times, TIME], strict=True):
            if start < stop:
                torch.manual_seed(1)  # the same weights are dropped
                fresh = start in times
                output, last = layer(features[start:stop, track : track + 1], None if fresh else alone)
                parts.append(output)
        outputs.append(torch.cat(parts))
        after.append(last)
    return torch.cat(outputs, 1), tuple(torch.cat(parts, -2) for parts in zip(*after, strict=True))


def test_values_and_gradients_are_those_of_each_document_by_itself(layer):
    features = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    state = random_state(layer)
    torch.manual_seed(1)
    found = layer(features, state, starts())
    wanted = by_document(layer, features, state)
    assert_close(found, wanted)
    weigh = torch.randn(TIME, BATCH, HIDDEN, dtype=torch.float64)
    inputs = [features, *state, *layer.parameters()]
    gradients = [
        torch.autograd.grad((weigh * output).sum() + sum(part.square().sum() for part in after), inputs)
        for output, after in (found, wanted)
    ]
    assert_close(*gradients)


def test_a_window_without_a_beginning_is_one_call_without_copies():
    features, state = torch.randn(TIME, BATCH, INPUT), (torch.randn(BATCH, HIDDEN),)
    for nowhere in (None, torch.zeros(TIME, BATCH, dtype=torch.bool)):
        output, after = run_segments(lambda *given: given, features, state, nowhere)
        assert output is features
        assert after is state


@pytest.mark.parametrize(("first", "lengths"), [(0, [2, 1, 2, 1, 1]), (1, [1, 1, 2, 1, 1])])
def test_windows_are_split_at_beginnings_only(first, lengths):
    calls = []

    def run(features, state):
        calls.append(len(features))
        return features, state

    features = torch.randn(TIME - first, BATCH, INPUT)
    output, _ = run_segments(run, features, (torch.zeros(BATCH, HIDDEN),), starts()[first:])
    assert calls == lengths
    assert torch.equal(output, features)


def test_a_state_that_is_not_finite_is_forgotten_too():
    state = (torch.full((BATCH, HIDDEN), torch.nan),)
    begins = torch.ones(1, BATCH, dtype=torch.bool)
    _, (after,) = run_segments(lambda x, state: (x, state), torch.zeros(1, BATCH, INPUT), state, begins)
    assert torch.equal(after, torch.zeros(BATCH, HIDDEN))


@pytest.mark.parametrize("wide", [False, True])
def test_under_autocast_documents_are_separate_too(wide, monkeypatch):
    if wide:
        monkeypatch.setattr("src.models.text.weight_drop_lstm.cpu_has_bf16_lstm", lambda: True)
        monkeypatch.setattr("src.models.text.weight_drop_lstm.is_faster", lambda weights: True)
    torch.manual_seed(0)
    layer, features = WeightDropLSTM(INPUT, HIDDEN, weight_dropout=0.0), torch.randn(TIME, BATCH, INPUT)
    state = tuple(part.detach().float() for part in random_state(layer))
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(features, state, starts())
        wanted = by_document(layer, features, state)
    assert_close(found, wanted, rtol=0.03, atol=1e-3)  # where a window is split, states are rounded
    found[0].float().sum().backward()
    assert layer.lstm.weight_hh_l0.grad.isfinite().all()
