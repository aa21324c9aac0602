import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.layer_groups import layer_groups
from src.models.tables.entity_mlp import EntityMLP, widest_within, widths_by_rule
from tests.support.tiny_table import REGRESSION, SPEC, choices, rows


def make(facts=None, **changes):
    facts = SPEC | (facts or {})
    names = ("category_sizes", "num_continuous", "num_outputs", "continuous_bins", "target_range")
    return EntityMLP(**{name: facts[name] for name in names}, **choices(**changes))


def outputs(net, count=6):
    return net(*rows(count)[:2])


def test_layers_are_as_wide_as_asked():
    shapes = [tuple(layer.weight.shape) for layer in make().modules() if isinstance(layer, nn.Linear)]
    assert shapes == [(8, 10), (7, 8), (3, 7)]  # 4 and 3 for the categories of 5 and 4 codes, 3 continuous columns


@pytest.mark.parametrize(
    ("rule", "widths"),
    [("power", [3, 21, 50]), ("half", [2, 50, 50]), ("sqrt", [2, 10, 50]), (7, [7, 7, 7]), (99, [50, 50, 50])],
)
def test_the_width_of_embeddings_follows_a_rule_up_to_a_maximum(rule, widths):
    assert widths_by_rule([3, 100, 5000], rule, 50) == widths


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="embedding_width must be power, half, sqrt or a number, got root"):
        make(embedding_width="root")


@pytest.mark.parametrize(
    ("widths", "size", "most"),
    [([8, 8, 3], 19, 8), ([8, 8, 3], 18, 7), ([8, 8, 3], 9, 3), ([8, 8, 3], 8, 2), ([8, 8, 3], 2, 1), ([1], 5, 1)],
)
def test_the_widest_vectors_are_cut_until_all_fit(widths, size, most):
    assert widest_within(widths, size) == most


@pytest.mark.parametrize(("max_input_size", "size"), [(None, 55), (55, 55), (25, 25), (24, 22), (1, 5)])
def test_many_columns_have_narrow_vectors(max_input_size, size):
    net = make(numerical="periodic", numerical_width=16, max_input_size=max_input_size)
    assert net.hidden[0].in_features == size  # of 4 + 3 + 3 * 16 without a limit
    assert outputs(net).shape == (6, 3)


@pytest.mark.parametrize("numerical", ["none", "raw", "piecewise_linear", "periodic"])
@pytest.mark.parametrize("num_members", [1, 4])
def test_each_row_gets_an_output_for_each_member(numerical, num_members):
    shape = (6, 3) if num_members == 1 else (6, 4, 3)
    assert outputs(make(numerical=numerical, num_members=num_members)).shape == shape


def test_a_wrong_numerical_embedding_is_refused():
    with pytest.raises(ValueError, match="numerical must be none, raw, piecewise_linear or periodic, got linear"):
        make(numerical="linear")


def test_a_member_is_the_net_that_its_scaling_and_head_make():
    ensemble, single = make(num_members=2).eval(), make().eval()
    shared = {n: v for n, v in ensemble.state_dict().items() if n.startswith(("embedding", "numerical", "hidden"))}
    single.load_state_dict(shared, strict=False)
    single.hidden[0].weight.data *= ensemble.members.scale[1]  # to scale the inputs is to scale the weights
    single.head.weight.data = ensemble.head.weight[1].T
    single.head.bias.data = ensemble.head.bias[1]
    assert_close(outputs(single), outputs(ensemble)[:, 1])


@pytest.mark.parametrize("missing", [{"category_sizes": []}, {"num_continuous": 0, "continuous_bins": []}])
@pytest.mark.parametrize("numerical", ["none", "piecewise_linear", "periodic"])
def test_either_kind_of_column_may_be_missing(missing, numerical):
    categories, continuous, _ = rows(6)
    if "category_sizes" in missing:
        categories = categories[:, :0]
    else:
        continuous = continuous[:, :0]
    assert make(missing, numerical=numerical)(categories, continuous).shape == (6, 3)


def test_a_table_without_columns_is_refused():
    with pytest.raises(ValueError, match="needs a categorical or a continuous column, got none"):
        make({"category_sizes": [], "num_continuous": 0})


def test_no_hidden_layer_is_a_linear_model():
    net = make(widths=[])
    assert [type(module) for module in net.hidden] == []
    assert net.head.in_features == 10


@pytest.mark.parametrize("relu", [True, False])
def test_without_relu_all_layers_are_one_linear_map(relu):
    net, (categories, a, _), (_, b, _) = make(relu=relu).eval(), rows(6), rows(6, seed=1)
    zero, whole = net(categories, torch.zeros_like(a)), net(categories, a + b)
    parts = (net(categories, a) - zero) + (net(categories, b) - zero)
    assert torch.allclose(whole - zero, parts, atol=1e-5) != relu


def test_continuous_columns_are_normalised_over_the_batch():
    net = make(batch_norm=False)  # of the hidden layers, which enlarge the rounding of a few rows
    categories, continuous, _ = rows(6)
    assert_close(net(categories, continuous), net(categories, 100 * continuous + 7), rtol=1e-3, atol=1e-4)


def test_raw_columns_are_read_as_they_are():
    net = make(numerical="raw", widths=[])
    categories, continuous, _ = rows(6)
    change = net(categories, 2 * continuous) - net(categories, continuous)
    assert_close(change, continuous @ net.head.weight[:, -3:].T)


def test_batch_norm_of_hidden_layers_may_be_left_out():
    norms = [[isinstance(m, nn.BatchNorm1d) for m in make(batch_norm=on).hidden].count(True) for on in (True, False)]
    assert norms == [2, 0]


def test_y_range_keeps_outputs_a_tenth_beyond_the_targets():
    net = make(REGRESSION, y_range=True)
    nn.init.constant_(net.head.bias, 1e4)
    assert_close(outputs(net)[0], torch.tensor([3.4, 2.4]))  # ranges -1..3 and -2..2
    nn.init.constant_(net.head.bias, -1e4)
    assert_close(outputs(net)[0], torch.tensor([-1.4, -2.4]))


def test_y_range_is_refused_for_classes():
    with pytest.raises(ValueError, match="y_range is for regression"):
        make(y_range=True)


def test_layer_groups_go_from_the_columns_to_the_head():
    net = make(num_members=2)
    assert layer_groups(net) == [[net.embedding, net.numerical, net.members], [net.hidden], [net.head]]


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="num_members must be positive, got 0"):
        make(num_members=0)


def test_categories_on_a_circle_are_learned_as_neighbours():
    torch.manual_seed(0)
    count = 12
    angles = 2 * torch.pi * torch.arange(count) / count
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    order = torch.randperm(count)  # the code of each place on the circle
    facts = {"category_sizes": [count + 2], "num_continuous": 0, "num_outputs": 2, "continuous_bins": []}
    net = make(facts, widths=[16], embedding_width=2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, fused=True)
    for _ in range(200):
        places = torch.randint(count, (256,))
        targets = circle[places] + 0.3 * torch.randn(256, 2)
        loss = (net(order[places].unsqueeze(1) + 2, torch.zeros(256, 0)) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    vectors = net.embedding.vectors(0)[order + 2]  # by place
    distances = torch.cdist(vectors, vectors).fill_diagonal_(torch.inf)
    nearest = distances.topk(2, largest=False).indices.sort(1).values
    places = torch.arange(count).unsqueeze(1)
    assert torch.equal(nearest, ((places + torch.tensor([-1, 1])) % count).sort(1).values)
