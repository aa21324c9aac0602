"""The same seed gives the same losses: a change of numbers that nobody meant is noticed here.

If it was meant: `python -m scripts.make_golden`, and say in CHANGELOG.md which numbers changed and why.
"""

import json

import pytest
import torch

from scripts.make_golden.cases import CASES, GOLDEN, STEPS
from scripts.make_golden.recording import machine, train

# Other kernels and processors add up in another order. Without AVX2 (ATEN_CPU_CAPABILITY=default) the losses differ by
# at most 1e-6 of themselves, but by 3e-4 in two cases: AdamW divides by the gradient's size, so rounding in a gradient
# that should be 0, such as that of a bias before a batch norm, becomes a whole step.
ELSEWHERE = {"entity_mlp_ensemble": 3e-3, "entity_mlp_regression": 3e-3}
QUICK = {"fast_net", "entity_mlp_ensemble", "qrnn"}  # one of each kind of data


@pytest.mark.parametrize("case", [pytest.param(c, marks=[] if c in QUICK else [pytest.mark.long]) for c in CASES])
def test_ten_steps_have_the_losses_that_they_had(case, tmp_path):
    recorded = json.loads((GOLDEN / "losses" / f"{case}.json").read_text())
    assert len(recorded["train/loss"]) == STEPS
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found, here = train(case, tmp_path), machine()
    finally:
        torch.set_num_threads(threads)
    there = recorded.pop("machine")
    for name, losses in recorded.items():
        assert found[name] == (losses if here == there else pytest.approx(losses, rel=ELSEWHERE.get(case, 1e-4))), name
