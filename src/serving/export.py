"""Writes a trained model as a folder that works without this project, and checks the result. See docs/serving.md."""

import json
import logging
import os
import shutil
import timeit
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.serving.graphs import LARGE, ONE, SMALL, Served, served_model

Format = Literal["onnx", "torch_export", "safetensors"]
Run = Callable[[list[Tensor]], list[np.ndarray]]


class Exported(NamedTuple):
    """What the check of an export measured.

    Attributes:
        difference: between the file and the net, see `difference`.
        file_ms: time of a call of the file with one row.
        net_ms: time of a call of the net with one row.
    """

    difference: float
    file_ms: float
    net_ms: float


def export(model: pl.LightningModule, folder: Path, *, format: Format, tolerance: float) -> Exported:
    """Write `folder`, which appears when it is complete and checked; an existing one is replaced.

    Args:
        model: a trained model.
        folder: where to write.
        format: see docs/serving.md.
        tolerance: largest allowed difference between the outputs of the file and of the net.

    Raises:
        ValueError: if the net cannot be exported, or the file differs by more than the tolerance.
    """
    served = served_model(model)
    staged = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    staged.mkdir(parents=True)
    try:
        with _quiet(), _failure_told(served, format):
            run = WRITERS[format](served, staged)
            found = float(np.max([difference(run, served, sizes) for sizes in (ONE, LARGE)]))
        if not found <= tolerance:  # also true for NaN
            raise ValueError(
                f"the exported file differs from the net by {found:.1e} of its largest output, more than {tolerance=}: "
                "nothing is written; raise tolerance or choose another format"
            )
        text = json.dumps(served.preprocessing() | served.interface(), ensure_ascii=False, indent=1)
        (staged / "preprocessing.json").write_text(text, encoding="utf-8")
        for program in served.programs:
            shutil.copyfile(program, staged / program.name)
        if folder.exists():
            shutil.rmtree(folder)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Exported(found, milliseconds(run, served), milliseconds(net_run(served), served))


def difference(run: Run, served: Served, sizes: tuple[int, int]) -> float:
    """The largest difference between the outputs of `run` and of the net on random inputs, over the net's largest."""
    inputs = served.sample(*sizes)
    pairs = zip(run(inputs), net_run(served)(inputs), strict=True)
    return float(np.max([np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in pairs]))


def milliseconds(run: Run, served: Served) -> float:
    """The median time of a call with one row, or one token."""
    inputs = served.sample(*ONE)
    return 1000 * float(np.median(timeit.repeat(lambda: run(inputs), number=1, repeat=50)))


def net_run(served: Callable[..., tuple[Tensor, ...]]) -> Run:
    """A function from tensors to arrays that runs a torch function."""

    def run(inputs: list[Tensor]) -> list[np.ndarray]:
        with torch.inference_mode():
            return [output.numpy() for output in served(*inputs)]

    return run


def write_onnx(served: Served, folder: Path) -> Run:
    """Write model.onnx for onnxruntime; weights beyond 2 GB get a file of their own. Returns what runs it."""
    from onnxruntime import InferenceSession, SessionOptions  # pyright: ignore[reportAttributeAccessIssue]

    interface = served.interface()
    names = {end: [tensor["name"] for tensor in interface[end]] for end in ("inputs", "outputs")}
    with torch.no_grad(), served.tracing():
        program = torch.onnx.export(
            captured(served), dynamo=True, verbose=False, input_names=names["inputs"], output_names=names["outputs"]
        )
    assert program is not None
    for value, tensor in zip(program.model.graph.inputs, interface["inputs"], strict=True):
        sizes = zip(value.shape or (), tensor["shape"], strict=True)
        program.rename_axes({own: size for own, size in sizes if isinstance(size, str)})  # pyright: ignore
    program.save(folder / "model.onnx")
    options = SessionOptions()
    options.log_severity_level = 4  # errors are raised anyway
    session = InferenceSession(folder / "model.onnx", options)

    def run(inputs: list[Tensor]) -> list[Any]:
        return session.run(None, dict(zip(names["inputs"], (t.numpy() for t in inputs), strict=True)))  # pyright: ignore

    return run


def write_torch_export(served: Served, folder: Path) -> Run:
    """Write model.pt2 for torch alone. Returns what runs it."""
    torch.export.save(captured(served), folder / "model.pt2")
    return net_run(torch.export.load(folder / "model.pt2").module())


def write_safetensors(served: Served, folder: Path) -> Run:
    """Write model.safetensors, the weights, and config.json, the model's choices. Returns what runs them."""
    from safetensors.torch import load_model, save_model

    model = served.model
    save_model(model, str(folder / "model.safetensors"))
    config = {name: model.hparams[name] for name in ("model", "spec")}
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1), encoding="utf-8")
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # otherwise only its owner may read it
    empty = deepcopy(model)
    for weight in empty.state_dict().values():
        weight.zero_()
    load_model(empty, folder / "model.safetensors")
    return net_run(served_model(empty))


WRITERS: dict[Format, Callable[[Served, Path], Run]] = {
    "onnx": write_onnx,
    "torch_export": write_torch_export,
    "safetensors": write_safetensors,
}


def captured(served: Served) -> torch.export.ExportedProgram:
    """The graph for any batch and time, without the paths of source files."""
    dims = {name: torch.export.Dim(name) for name in ("batch", "time")}
    shapes = [tensor["shape"] for tensor in served.interface()["inputs"]]
    axes = tuple({axis: dims[size] for axis, size in enumerate(shape) if size in dims} for shape in shapes)
    with torch.no_grad(), served.tracing():
        program = torch.export.export(served, tuple(served.sample(*SMALL)), dynamic_shapes=(axes,))
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporters' warnings, which are meant for their developers; errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _failure_told(served: Served, format: Format) -> Iterator[None]:
    """Turn any error of the exporters into one line; debug=true shows it in full."""
    try:
        yield
    except Exception as error:
        name = type(served.model.net).__name__
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(
            f"{name} cannot be exported as {format}: {reason}; debug=true shows more, format=safetensors takes any net"
        ) from error
