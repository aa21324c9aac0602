import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.layer_groups import layer_groups
from src.models.text.adaptive_decoder import AdaptiveDecoder
from src.models.text.awd_lstm import AWDLSTM
from tests.support.programs import composed

VOCAB, EMBEDDING, HIDDEN, BATCH = 11, 5, 7, 3
RATES = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")


def make(num_layers=3, tie_weights=True, dropout=0.0, **changes):
    torch.manual_seed(0)
    sizes = {"embedding_size": EMBEDDING, "hidden_size": HIDDEN, "num_layers": num_layers}
    choices = sizes | dict.fromkeys(RATES, dropout) | {"cutoffs": None} | changes
    return AWDLSTM(VOCAB, tie_weights=tie_weights, **choices)


def tokens(time=6, batch=BATCH):
    return torch.randint(0, VOCAB, (time, batch), generator=torch.Generator().manual_seed(1))


def test_without_dropout_values_and_gradients_are_torchs():
    net = make(num_layers=2, tie_weights=False)
    reference = nn.LSTM(EMBEDDING, HIDDEN, num_layers=2)
    for depth, layer in enumerate(net.layers):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(reference, f"{name}_l{depth}").data.copy_(getattr(layer.lstm, f"{name}_l0"))
    features = net(tokens())
    output, (hidden, cell) = reference(net.embedding.weight.detach()[tokens()])
    assert_close(features.raw, output)
    assert_close([torch.cat(parts) for parts in zip(*features.state, strict=True)], [hidden, cell])
    features.dropped.square().sum().backward()
    output.square().sum().backward()
    found = [p.grad for layer in net.layers for p in layer.parameters()]
    assert_close(found, [p.grad for p in reference.parameters()])


@pytest.mark.parametrize(("tied", "width"), [(True, EMBEDDING), (False, HIDDEN)])
def test_layers_are_as_wide_as_the_paper_says(tied, width):
    net = make(tie_weights=tied)
    features = net(tokens())
    assert [layer.lstm.hidden_size for layer in net.layers] == [HIDDEN, HIDDEN, width]
    assert features.raw.shape == features.dropped.shape == (6, BATCH, width)
    assert net.decoder(features.dropped).shape == (6, BATCH, VOCAB)


def test_one_window_of_70_is_two_of_35_with_the_state_carried():
    net, window = make(dropout=0.5).eval(), tokens(time=70)
    whole, first = net(window), net(window[:35])
    second = net(window[35:], first.state)
    assert_close(torch.cat([first.raw, second.raw]), whole.raw)
    assert_close(second.state, whole.state)


def test_a_time_step_of_its_own_works():
    net = make().eval()
    state, outputs = None, []
    for token in tokens():
        features = net(token[None], state)
        outputs.append(features.raw)
        state = features.state
    assert_close(torch.cat(outputs), net(tokens()).raw)


def test_gradients_reach_back_through_the_state():
    net, window = make(), tokens()
    net(window[3:], net(window[:3]).state).raw.sum().backward()
    assert (net.embedding.weight.grad[window[:3].unique()] != 0).any()


def test_in_eval_mode_nothing_is_dropped():
    net = make(dropout=0.5)
    assert not torch.equal(net(tokens()).dropped, net(tokens()).dropped)
    features = net.eval()(tokens())
    assert torch.equal(features.dropped, features.raw)
    assert torch.equal(features.raw, make().eval()(tokens()).raw)


@pytest.mark.parametrize("rate", RATES)
def test_each_dropout_alone_makes_windows_differ(rate):
    net = make(**{rate: 0.5})
    assert not torch.equal(net(tokens()).dropped, net(tokens()).dropped)


def test_output_dropout_drops_features_of_the_last_layer_for_all_time_steps():
    features = make(output_dropout=0.5)(tokens())
    mask = features.dropped / features.raw
    assert_close(mask.round(), mask)
    assert torch.equal(mask.round(), mask.round()[:1].expand_as(mask))
    assert mask.round().unique().tolist() == [0, 2]


def test_hidden_dropout_drops_between_layers_but_not_at_the_end(monkeypatch):
    net, seen = make(hidden_dropout=0.5), []
    for layer in net.layers:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append((inputs[0] == 0).any().item()))
    features = net(tokens())
    assert seen == [False, True, True]
    assert torch.equal(features.dropped, features.raw)


def test_input_dropout_drops_embedded_values_for_all_time_steps():
    net, seen = make(input_dropout=0.5), []
    net.layers[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0] == 0))
    net(tokens())
    assert torch.equal(seen[0], seen[0][:1].expand_as(seen[0]))
    assert seen[0].any()
    assert not seen[0].all()


def test_a_tied_weight_is_one_parameter():
    net = make()
    assert net.decoder.weight is net.embedding.weight
    names = [name for name, _ in net.named_parameters()]
    assert "embedding.weight" in names
    assert "decoder.weight" not in names
    net.decoder(net(tokens()).dropped).logsumexp(2).sum().backward()
    assert (net.embedding.weight.grad != 0).all(1).sum() == VOCAB  # words that are not in the window, too


@pytest.mark.parametrize("tied", [True, False])
def test_groups_go_from_the_embedding_to_the_decoder(tied):
    net = make(tie_weights=tied)
    embedding, *layers, decoder = layer_groups(net)  # raises unless each parameter is there once
    assert embedding == [net.embedding]
    assert layers == [[layer] for layer in net.layers]
    last = [id(p) for module in decoder for p in module.parameters()]
    assert last == [id(net.decoder.bias)] if tied else [id(net.decoder.weight), id(net.decoder.bias)]


def test_cutoffs_give_an_adaptive_decoder_as_the_last_group():
    net = make(tie_weights=False, cutoffs=[4])
    assert isinstance(net.decoder, AdaptiveDecoder)
    assert net.decoder(net(tokens()).dropped).shape == (6, BATCH, VOCAB)
    assert layer_groups(net)[-1] == [net.decoder]


def test_cutoffs_leave_no_weight_to_tie():
    with pytest.raises(ValueError, match=r"tie_weights must be false, got cutoffs=\[4\]"):
        make(tie_weights=True, cutoffs=[4])


def test_a_copy_is_tied_to_itself():
    net = make(dropout=0.5)
    net(tokens())
    twin = copy.deepcopy(net)
    assert twin.decoder.weight is twin.embedding.weight
    assert twin.decoder.weight is not net.decoder.weight
    twin(tokens()).raw.sum().backward()
    assert net.embedding.weight.grad is None
    layer_groups(twin)


@pytest.mark.parametrize("tied", [True, False])
def test_a_state_dict_brings_all_there_is(tied):
    net, other = make(tie_weights=tied), make(tie_weights=tied)
    for parameter in other.parameters():
        parameter.data.uniform_()
    other.load_state_dict(net.state_dict())
    assert_close(other(tokens()).raw, net(tokens()).raw, rtol=0, atol=0)
    assert (other.decoder.weight is other.embedding.weight) == tied


def test_dropouts_are_not_in_the_state_dict():
    assert list(make(dropout=0.5).state_dict()) == list(make().state_dict())


def test_under_autocast_states_carry_over():
    net = make(dropout=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        features = net(tokens(), net(tokens()).state)
        net.decoder(features.dropped).float().logsumexp(2).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert net.eval()(tokens(), features.state).raw.dtype == torch.float32  # as validation outside autocast


def test_it_learns_a_sequence_by_heart():
    net = make(num_layers=1, hidden_size=20, embedding_size=20)
    window = torch.arange(VOCAB)[:, None].repeat(2, BATCH)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net.decoder(net(window[:-1]).dropped).flatten(0, 1), window[1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("size", ["embedding_size", "hidden_size", "num_layers"])
def test_a_size_of_0_is_refused(size):
    with pytest.raises(ValueError, match=f"sizes must be positive, got vocab_size=11,.* {size}=0"):
        make(**{size: 0})


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_of_1_is_refused_by_name(rate):
    with pytest.raises(ValueError, match=f"got {rate}=1.0"):
        make(**{rate: 1.0})


def test_tokens_without_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"tokens must be \(time, batch\), got \(6,\)"):
        make()(tokens()[:, 0])


def test_beginnings_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"starts must be \(6, 2\) as tokens are, got \(2, 6\)"):
        make()(torch.zeros(6, 2, dtype=torch.int64), None, torch.zeros(2, 6, dtype=torch.bool))


def test_a_state_of_another_depth_is_refused():
    with pytest.raises(ValueError, match="each of 3 layers, got 2"):
        make()(tokens(), make(num_layers=2)(tokens()).state)


def test_a_state_of_another_batch_is_refused():
    net = make()
    with pytest.raises(ValueError, match=r"must be of \[\(1, 2, 7\), \(1, 2, 7\)\]"):
        net(tokens(batch=2), net(tokens()).state)


def test_its_config_names_all_choices():
    config = composed("model/net=awd_lstm")
    choices = {name for name in config.model.net if not name.startswith("_")}
    assert choices == {"embedding_size", "hidden_size", "num_layers", "tie_weights", "cutoffs", *RATES}
