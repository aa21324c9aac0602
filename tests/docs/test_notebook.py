"""notebooks/quickstart.ipynb runs, from its own folder and from the root, and lies there as a clean run left it."""

import nbformat
from nbclient import NotebookClient

from tests.support.programs import ROOT

PATH = ROOT / "notebooks" / "quickstart.ipynb"
CODE = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]


def run(notebook, folder):
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()


def test_every_cell_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("QUICKSTART_TRIAL", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(nbformat.read(PATH, 4), PATH.parent)
    trained = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("metrics.json")}
    assert trained == {"digits", "diabetes", "lesson/text"}


def test_it_finds_the_project_from_the_root_as_well(monkeypatch):
    notebook = nbformat.read(PATH, 4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    notebook.cells = [first, nbformat.v4.new_code_cell("assert Path.cwd() == root and Path('conf').is_dir()")]
    run(notebook, ROOT)


def test_the_outputs_are_of_one_clean_run_without_errors():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not any(output.output_type == "error" for cell in CODE for output in cell.outputs)
    assert any("image/png" in output.get("data", {}) for cell in CODE for output in cell.outputs)


def test_it_is_small_and_names_no_place_of_the_machine():
    text = PATH.read_text()
    assert len(text) < 300_000
    assert str(ROOT) not in text
