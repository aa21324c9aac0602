"""notebooks/quickstart.ipynb runs, from its own folder and from the root, and is saved as a clean run left it."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.programs import ROOT

PATH = ROOT / "notebooks" / "quickstart.ipynb"
CODE = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A folder for the runs of a quick trial: two batches of each training, no reports."""
    monkeypatch.setenv("QUICKSTART_TRIAL", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def trained(folder):
    return {str(path.parent.relative_to(folder)) for path in folder.rglob("metrics.json")}


def run(notebook, folder):
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()


@pytest.mark.filterwarnings("ignore:The number of training batches")  # a trial has two
def test_every_cell_runs_in_this_process(trial, monkeypatch):
    monkeypatch.chdir(PATH.parent)
    monkeypatch.syspath_prepend(str(ROOT))
    names = {"__name__": "quickstart"}
    for cell in CODE:
        lines = [line for line in cell.source.split("\n") if not line.startswith("%")]
        exec(compile("\n".join(lines), str(PATH), "exec"), names)
    assert trained(trial) == {"digits", "diabetes", "lesson/text"}


@pytest.mark.long
def test_every_cell_runs_in_a_kernel(trial):
    run(nbformat.read(PATH, 4), PATH.parent)
    assert trained(trial) == {"digits", "diabetes", "lesson/text"}


@pytest.mark.long
def test_it_finds_the_project_from_the_root_as_well():
    notebook = nbformat.read(PATH, 4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    notebook.cells = [first, nbformat.v4.new_code_cell("assert Path.cwd() == root and Path('conf').is_dir()")]
    run(notebook, ROOT)


def test_the_outputs_are_of_one_clean_run_without_errors():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not any(output.output_type == "error" for cell in CODE for output in cell.outputs)
    assert any("image/png" in output.get("data", {}) for cell in CODE for output in cell.outputs)


def test_it_is_small_and_contains_no_path_of_the_machine():
    text = PATH.read_text()
    assert len(text) < 300_000
    assert str(ROOT) not in text
