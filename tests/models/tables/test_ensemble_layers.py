import torch
from torch.testing import assert_close

from src.models.tables.ensemble_layers import MemberLinear, MemberScaling


def test_each_member_sees_the_inputs_in_its_own_scale():
    scaling = MemberScaling(2, 3)
    scaling.scale.data = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]])
    assert scaling(torch.tensor([[10.0, 20.0, 30.0]])).tolist() == [[[10, 40, 90], [0, -20, 15]]]


def test_members_start_with_random_signs():
    scale = MemberScaling(8, 100).scale
    assert (scale.abs() == 1).all()
    assert 300 < (scale > 0).sum() < 500


def test_each_member_has_a_linear_layer_of_its_own():
    layer, x = MemberLinear(3, 4, 2), torch.randn(5, 3, 4)
    expected = [x[:, member] @ layer.weight[member] + layer.bias[member] for member in range(3)]
    assert_close(layer(x), torch.stack(expected, 1))
