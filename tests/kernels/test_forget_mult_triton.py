"""The Triton kernels: in Triton's interpreter on the CPU, and on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from src.kernels.forget_mult import forget_mult
from src.kernels.forget_mult.naive import forget_mult as naive
from tests.kernels.test_forget_mult import SHAPES, across, gradients, inputs

pytest.importorskip("triton", reason="the kernels need triton")

ROOT = Path(__file__).resolve().parents[2]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
CASES = [(shape, dtype, pooling) for shape in SHAPES for dtype in DTYPES for pooling in ("f", "ifo")]

# Triton decides when it is imported whether it interprets: so in a process of its own.
INTERPRETED = """
import sys, torch
from src.kernels.forget_mult import triton_kernels
from src.kernels.forget_mult import forget_mult
from tests.kernels.test_forget_mult import gradients
sys.modules["src.kernels.forget_mult"]._path = lambda f: triton_kernels
cases = torch.load(sys.argv[1])
torch.save([gradients(forget_mult, *case) for case in cases], sys.argv[2])
"""


def case(shape, dtype, pooling, device="cpu"):
    # Columns first in memory: the kernels read rows, so a copy that is forgotten shows.
    *others, i = map(across, inputs(*shape, dtype=dtype, device=device))
    return [*others, i if pooling == "ifo" else None]


def assert_equals_reference(results, f, z, h0, i):
    # Of 16-bit results the state, and so the gradient of f, is rounded; of the rest only the last bits may differ.
    for result, wanted in zip(results, gradients(naive, f, z, h0, i), strict=True):
        loose = {"rtol": 2e-2, "atol": 2e-2} if f.dtype in (torch.bfloat16, torch.float16) else {}
        assert_close(result, wanted, **loose)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """The results of all cases, by case."""
    folder = tmp_path_factory.mktemp("interpreted")
    torch.save([case(*facts) for facts in CASES], folder / "cases.pt")
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", INTERPRETED, folder / "cases.pt", folder / "results.pt"]
    finished = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return dict(zip(CASES, torch.load(folder / "results.pt"), strict=True))


@pytest.mark.parametrize("facts", CASES, ids=str)
def test_interpreted_kernels_equal_the_reference(interpreted, facts):
    assert_equals_reference(interpreted[facts], *case(*facts))


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("number", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["_scan_kernel", "_gradients_kernel"])
def test_kernels_compile_for_a_gpu_that_is_not_here(name, number, blend, tmp_path, monkeypatch):
    # The interpreter takes much that the compiler refuses.
    compiler = pytest.importorskip("triton.compiler")
    targets = pytest.importorskip("triton.backends.compiler")
    import triton.language as tl

    from src.kernels.forget_mult import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernels, name)
    choices = {"BLEND": blend, "WIDE": tl.float32, "STAGES": 3, "BLOCK": 64}
    types = {argument: f"*{number}" if argument.endswith("_at") else "i32" for argument in kernel.arg_names}
    types |= dict.fromkeys(choices, "constexpr") | ({"grad_h0_at": "*fp32"} if "grad_h0_at" in types else {})
    constants = {(kernel.arg_names.index(argument),): value for argument, value in choices.items()}
    source = compiler.ASTSource(kernel, types, constants)
    hopper = targets.GPUTarget("cuda", 90, 32)
    assert compiler.compile(source, target=hopper).asm["cubin"]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("pooling", ["f", "ifo"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kernels_equal_the_reference(dtype, pooling):
    for shape in [*SHAPES, (70, 20, 1550)]:
        arguments = case(shape, dtype, pooling, device="cuda")
        assert_equals_reference(gradients(forget_mult, *arguments), *arguments)
