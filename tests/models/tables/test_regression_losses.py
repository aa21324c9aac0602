import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from src.models.tables.regression_losses import regression_loss_of
from tests.support.tiny_table import REGRESSION, built, tabular_model

COUNTS = REGRESSION | {
    "num_outputs": 1,
    "target_range": [[0.0, 9.0]],
    "processing": {
        "choices": {"target": ["calls"]},
        "target": {"kind": "none", "mean": [0.0], "std": [1.0]},
    },
}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_best_constant_for_a_quantile_is_that_quantile(share):
    loss = regression_loss_of(share)
    targets = torch.rand(999, 1, generator=torch.Generator().manual_seed(0)).double()
    losses = [loss(value, targets).item() for value in targets]
    assert targets[int(np.argmin(losses))] == pytest.approx(np.quantile(targets, share), abs=1e-3)


def test_a_quantile_loss_weighs_both_sides_by_hand():
    outputs, targets = torch.tensor([[1.0], [1.0]]), torch.tensor([[3.0], [0.0]])
    assert regression_loss_of(0.9)(outputs, targets, reduction="none").flatten().tolist() == pytest.approx([1.8, 0.1])
    assert regression_loss_of(0.5)(outputs, targets) == F.l1_loss(outputs, targets) / 2


class LogRates(nn.Module):
    """Two members that give the first number, and one more."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, categories, continuous):
        return torch.stack([continuous[:, :1], continuous[:, :1] + 1], 1) * self.weight


def counting(**facts):
    model = tabular_model(net=lambda category_sizes: LogRates(), regression_loss="poisson")
    model.log_loss = lambda loss, batch_size: None
    return built(model, **(COUNTS | facts))


def test_counts_are_learned_by_the_logarithm_of_their_mean():
    model, numbers, targets = counting(), torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]])
    categories = torch.zeros(2, 2, dtype=torch.int64)
    assert model.predict(categories, numbers).flatten().tolist() == pytest.approx(
        [(1 + np.e) / 2, np.e**2 * (1 + np.e) / 2]
    )
    logs = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    expected = F.poisson_nll_loss(logs, targets.repeat_interleave(2, 0))
    assert model.training_step((categories, numbers, targets), 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_count_far_off_still_has_a_finite_loss_and_a_gradient():
    model = counting()
    loss = model.training_step(
        (torch.zeros(1, 2, dtype=torch.int64), torch.tensor([[-14.0]]), torch.tensor([[4.0]])), 0
    )
    loss.backward()
    assert loss.isfinite()
    assert model.net.weight.grad.abs() > 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"target_range": [[-1.0, 4.0]]}, "got a target of -1"),
        ({"processing": REGRESSION["processing"]}, "got datamodule.target_scaling=standardise"),
    ],
)
def test_targets_that_are_no_counts_are_refused(facts, words):
    with pytest.raises(ValueError, match=f"poisson is for counts.*{words}"):
        counting(**facts)
