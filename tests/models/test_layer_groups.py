import pytest
import torch
from torch import nn

from src.models.layer_groups import layer_groups, load_body, norm_parameters


class Grouped(nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5)
        self.groups = groups

    def layer_groups(self):
        return [[getattr(self, name) for name in group] for group in self.groups]


def test_each_child_with_parameters_is_a_group():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    assert layer_groups(net) == [[net[0]], [net[2]]]


def test_a_net_may_group_its_own_layers():
    net = Grouped([["first", "second"], ["third"]])
    assert layer_groups(net) == [[net.first, net.second], [net.third]]


def test_children_that_share_a_parameter_are_one_group():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert layer_groups(net) == [[net]]


def test_a_parameter_of_the_nets_own_makes_one_group():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    net.register_parameter("scale", nn.Parameter(torch.ones(1)))
    assert layer_groups(net) == [[net]]


def test_own_groups_must_not_miss_a_parameter():
    with pytest.raises(ValueError, match=r"each of the net's 6 parameters exactly once, got 4, 4 of them different"):
        layer_groups(Grouped([["first"], ["third"]]))


def test_own_groups_must_not_hold_a_parameter_twice():
    with pytest.raises(ValueError, match="got 8, 6 of them different"):
        layer_groups(Grouped([["first", "second"], ["second", "third"]]))


def test_own_groups_must_not_hold_another_nets_parameters_instead():
    net = Grouped([["first", "second"], ["strange"]])
    object.__setattr__(net, "strange", nn.Linear(4, 5))  # not a child of the net
    with pytest.raises(ValueError, match="got 6, 4 of them different"):
        layer_groups(net)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3, affine=True)]
)
def test_norm_parameters_are_found_at_any_depth(norm):
    nested = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sequential(norm))
    assert norm_parameters([nested]) == {id(norm.weight), id(norm.bias)}


def test_a_body_is_all_weights_and_statistics_but_those_of_the_head():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.Linear(3, 4))
    weights = {name: torch.full_like(value, 7) for name, value in net.state_dict().items()}
    load_body(net, weights | {"1.weight": torch.zeros(9, 9), "more": torch.zeros(1)}, "a file")
    sevens = {name for name, value in net.state_dict().items() if (value == 7).all()}
    assert sevens == {name for name in weights if name.startswith("0.")}
    assert "0.1.running_mean" in sevens


def test_a_body_of_another_net_is_refused_and_nothing_is_copied():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    before = net[0].weight.clone()
    weights = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"a file is of another net: 1 weights differ, such as 0\.bias"):
        load_body(net, weights, "a file")
    assert torch.equal(net[0].weight, before)
