import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.layer_groups import layer_groups
from src.models.text.qrnn import QRNN

POOLINGS = ["f", "fo", "ifo"]


def make(vocab_size=11, **changes):
    torch.manual_seed(0)
    choices = {
        "embedding_size": 6,
        "hidden_size": 5,
        "num_layers": 3,
        "pooling": "fo",
        "window": 2,
        "zoneout": 0.0,
        "dense": False,
        "embedding_dropout": 0.0,
        "input_dropout": 0.0,
        "hidden_dropout": 0.0,
        "output_dropout": 0.0,
        "weight_dropout": 0.0,
        "tie_weights": True,
        "cutoffs": None,
    }
    return QRNN(vocab_size, **(choices | changes))


def words(time=7, batch=2, vocab_size=11):
    return torch.randint(vocab_size, (time, batch), generator=torch.Generator().manual_seed(1))


def flat(state):
    return [part for layer in state for part in layer]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_two_windows_of_35_equal_one_of_70(pooling, dense):
    net, tokens = make(pooling=pooling, window=[2, 1, 2], dense=dense), words(time=70)
    whole = net(tokens)
    first = net(tokens[:35])
    second = net(tokens[35:], first.state)
    assert_close(torch.cat([first.raw, second.raw]), whole.raw)
    assert_close(flat(second.state), flat(whole.state))
    # The state is not detached: gradients flow back through it.
    ours = torch.autograd.grad(torch.cat([first.raw, second.raw]).square().sum(), list(net.layers.parameters()))
    assert_close(ours, torch.autograd.grad(whole.raw.square().sum(), list(net.layers.parameters())))


@pytest.mark.parametrize("window", [1, 2])
def test_single_steps_equal_a_window(window):
    net, tokens = make(window=window), words()
    state, steps = None, []
    for step in tokens.split(1):
        features = net(step, state)
        state = features.state
        steps.append(features.raw)
    assert_close(torch.cat(steps), net(tokens).raw)


def test_no_step_sees_what_is_to_come():
    net, tokens = make(window=[2, 2, 2]), words()
    changed = tokens.clone()
    changed[4:] = (changed[4:] + 1) % 11
    assert_close(net(changed).raw[:4], net(tokens).raw[:4], rtol=0, atol=0)
    assert not torch.equal(net(changed).raw[4], net(tokens).raw[4])


def test_rows_do_not_depend_on_each_other():
    net, tokens = make(), words(batch=3)
    assert_close(net(tokens).raw[:, 1:2], net(tokens[:, 1:2]).raw)


def test_layers_are_wide_as_chosen_and_the_last_fits_the_tied_decoder():
    net = make()
    assert [layer.hidden_size for layer in net.layers] == [5, 5, 6]
    assert [layer.linear.in_features for layer in net.layers] == [2 * 6, 5, 5]
    assert net.decoder.weight is net.embedding.weight
    untied = make(tie_weights=False)
    assert [layer.hidden_size for layer in untied.layers] == [5, 5, 5]
    assert untied.decoder.weight.shape == (11, 5)


def test_features_and_state_have_the_sizes_the_decoder_and_the_next_window_want():
    net = make()
    dropped, raw, state = net(words())
    assert dropped.shape == raw.shape == (7, 2, 6)
    assert net.decoder(dropped).shape == (7, 2, 11)
    assert [[tuple(part.shape) for part in layer] for layer in state] == [[(2, 5), (2, 6)], [(2, 5)], [(2, 6)]]


def test_a_window_for_each_layer_is_taken():
    assert [layer.window for layer in make(window=[1, 2, 2]).layers] == [1, 2, 2]
    assert [layer.window for layer in make(window=2).layers] == [2, 1, 1]


def test_dense_layers_see_the_words_and_all_layers_before():
    net, tokens = make(dense=True, window=1), words()
    assert [layer.linear.in_features for layer in net.layers] == [6, 6 + 5, 6 + 5 + 5]
    embedded = net.embedding(tokens)
    first, _ = net.layers[0](embedded)
    second, _ = net.layers[1](torch.cat([embedded, first], -1))
    third, _ = net.layers[2](torch.cat([embedded, first, second], -1))
    assert_close(net(tokens).raw, third)


def test_every_parameter_gets_a_gradient():
    net = make(zoneout=0.1, weight_dropout=0.1, hidden_dropout=0.1).train()
    net.decoder(net(words()).dropped).logsumexp(-1).sum().backward()
    assert [name for name, parameter in net.named_parameters() if not parameter.grad.any()] == []


@pytest.mark.parametrize("rate", ["embedding_dropout", "input_dropout", "hidden_dropout", "weight_dropout", "zoneout"])
def test_each_dropout_acts_while_training_and_only_then(rate):
    net, tokens = make(**{rate: 0.5}), words()
    assert not torch.equal(net(tokens).raw, net(tokens).raw)
    net.eval()
    assert_close(net(tokens).raw, net(tokens).raw, rtol=0, atol=0)
    if rate != "zoneout":  # which is its mean then
        assert_close(net(tokens).raw, make()(tokens).raw)


def test_output_dropout_is_locked_over_time_and_leaves_raw_alone():
    net, tokens = make(output_dropout=0.5), words()
    dropped, raw, _ = net(tokens)
    assert_close(raw, make()(tokens).raw)
    zeroed = dropped == 0
    assert zeroed.any()
    assert torch.equal(zeroed, zeroed[:1].expand_as(zeroed))
    assert_close(dropped[~zeroed], 2 * raw[~zeroed])


def test_layer_groups_hold_each_parameter_once():
    net = make()
    groups = layer_groups(net)
    assert groups[:-1] == [[net.embedding], *([layer] for layer in net.layers)]
    assert [id(parameter) for parameter in groups[-1][0].parameters()] == [id(net.decoder.bias)]
    untied = make(tie_weights=False)
    assert layer_groups(untied)[-1] == [untied.decoder]
    adaptive = make(tie_weights=False, cutoffs=[4])
    assert layer_groups(adaptive)[-1] == [adaptive.decoder]


def test_bf16_autocast_comes_close_and_gives_gradients():
    net, tokens = make(weight_dropout=0.0), words(time=35)
    wanted = net(tokens).raw
    with torch.autocast("cpu", torch.bfloat16):
        first = net(tokens[:20])
        second = net(tokens[20:], first.state)
    assert first.raw.dtype == torch.bfloat16
    assert_close(torch.cat([first.raw, second.raw]).float(), wanted, rtol=0.05, atol=0.02)
    assert_close(net(tokens[20:], first.state).raw, wanted[20:], rtol=0.05, atol=0.02)  # on without autocast
    second.raw.float().sum().backward()
    assert all(layer.linear.weight.grad.isfinite().all() for layer in net.layers)


def test_it_learns_a_short_text_by_heart():
    net = make(embedding_size=16, hidden_size=32, num_layers=2).train()
    tokens = words(time=41, batch=1)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(120):
        logits = net.decoder(net(tokens[:-1]).dropped)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.exp().item() < 1.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "QRNN's sizes must be positive, got .* num_layers=0"),
        ({"pooling": "io"}, "pooling must be one of f, fo, ifo, got 'io'"),
        ({"window": 3}, "window must be 1 or 2, got 3"),
        ({"window": [2, 1]}, r"one number or one for each layer, got window=\[2, 1\], num_layers=3"),
        ({"zoneout": 1.0}, r"within \[0, 1\), got zoneout=1.0"),
        (
            {"input_dropout": -1.0, "output_dropout": 1.0},
            r"within \[0, 1\), got input_dropout=-1.0, output_dropout=1.0",
        ),
    ],
)
def test_choices_it_does_not_know_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_tokens_and_states_that_do_not_fit_are_refused():
    net = make()
    with pytest.raises(ValueError, match=r"tokens must be \(time, batch\), got \(7,\)"):
        net(words()[:, 0])
    state = net(words()).state
    with pytest.raises(ValueError, match="a part for each of 3 layers, got 2"):
        net(words(), state[:2])
    with pytest.raises(ValueError, match="start another batch size with None"):
        net(words(batch=3), state)
