"""The import rules of the design, kept true."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "src").rglob("*.py"))
LAYERS = {"datamodules", "models", "callbacks"}
# What a report is made of, and by: it gets models and datamodules as objects.
REPORT = {"torch", "pytorch_lightning", "lightning_fabric", "numpy", "matplotlib", "sklearn", "jinja2", "markupsafe"}
REPORT |= {"captum", "pandas", "scipy", "threadpoolctl", "tokenizers", "yaml"}
# What else the parts of src may name, beside the standard library.
KNOW_HYDRA = {"src/config.py", "src/console.py", "src/entity_embedder.py", "src/errors.py", "src/checkpoint.py"}
KNOW_HYDRA |= {"src/multirun.py"}


def imports(path):
    """All dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_datamodules_models_and_callbacks_never_import_one_another(path):
    own = path.relative_to(ROOT / "src").parts[0]
    if own in LAYERS:
        others = LAYERS - {own}
        assert [i for i in imports(path) if i.startswith("src.") and i.split(".")[1] in others] == []


@pytest.mark.parametrize("path", sorted((ROOT / "src/report").glob("*.py")), ids=name)
def test_reports_import_no_layer(path):
    import sys

    allowed = {*REPORT, *sys.stdlib_module_names}
    own = ("src.report", "src.errors", "src.run_dir")
    assert [i for i in imports(path) if i.split(".")[0] not in allowed and not i.startswith(own)] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_kernels_alone_import_triton(path):
    if "src/kernels/" not in name(path):
        assert [i for i in imports(path) if i.split(".")[0] == "triton"] == []


@pytest.mark.parametrize("path", sorted((ROOT / "src/models/nets").glob("*.py")), ids=name)
def test_nets_import_torch_and_kernels_only(path):
    import sys

    allowed = {"torch", *sys.stdlib_module_names}
    own = ("src.models.nets", "src.kernels")
    assert [i for i in imports(path) if i.split(".")[0] not in allowed and not i.startswith(own)] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_hydra_is_known_to_the_programs_and_their_helpers_only(path):
    if name(path) not in KNOW_HYDRA:
        assert [i for i in imports(path) if i.split(".")[0] in ("hydra", "omegaconf")] == []


@pytest.mark.parametrize("program", ["train.py", "predict.py"])
def test_programs_import_torch_only_inside_functions(program):
    body = ast.parse((ROOT / program).read_text()).body
    top = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    top += [node.module for node in body if isinstance(node, ast.ImportFrom)]
    assert [i for i in top if i.split(".")[0] in ("torch", "pytorch_lightning", "torchmetrics")] == []


def test_there_is_no_drawer_for_everything():
    assert [path for path in ROOT.glob("src/**/*") if path.stem in ("utils", "util", "helpers", "misc")] == []


@pytest.mark.parametrize("path", [*FILES, ROOT / "train.py", ROOT / "predict.py"], ids=name)
def test_a_file_stays_under_250_lines(path):
    assert len(path.read_text().splitlines()) < 250
