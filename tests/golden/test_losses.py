"""The same seed gives the same losses: a change of numbers that nobody meant is noticed here.

If it was meant: `python -m scripts.make_golden`, and say in CHANGELOG.md which numbers changed and why.
"""

import json

import pytest
import torch

from scripts.make_golden.cases import CASES, GOLDEN, STEPS
from scripts.make_golden.recording import machine, train

# Other kernels and processors add up in another order. With PyTorch's own for AVX2, AVX-512 and neither, the losses of
# all cases differ by at most 1e-6 of themselves.
ELSEWHERE = 1e-4
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
        assert found[name] == (losses if here == there else pytest.approx(losses, rel=ELSEWHERE)), name
