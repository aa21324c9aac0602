"""Rooms, arrows and sizes of made-up checkouts."""

import json

import pytest

from scripts.import_graph import circles, counted, floors, graph, imported, main, room_of


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("src.core.errors", "core"),
        ("src.trainer", "trainer"),
        ("src", None),
        ("train", "train"),
        ("scripts.sweep", "scripts"),
        ("torch.nn", None),
        ("training", None),
    ],
)
def test_a_module_lies_in_a_room(module, room):
    assert room_of(module.split(".")) == room


def test_imports_inside_functions_and_of_names_count(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import os.path, src.core.files\ndef f():\n    from src import models\n    from . import x\n")
    assert list(imported(path)) == [["os", "path"], ["src", "core", "files"], ["src", "models"]]


@pytest.fixture
def checkout(tmp_path):
    """train -> models -> core, loose -> core, scripts -> train; five functions."""
    files = {
        "src/__init__.py": "",
        "src/core/errors.py": "import os\n\n\ndef f():\n    return 1\n",
        "src/core/files.py": "from src.core import errors\n",
        "src/loose.py": "from src.core.errors import f\n",
        "src/models/images/net.py": "def g():\n    from src.core import errors\n\n    return errors\n",
        "src/models/images/cnn.py": "import src.models.images.net\n",
        "src/models/images/mlp.py": "",
        "train.py": "from src.models.images.net import g\n\n\ndef far():\n    return 0\n",
        "scripts/x.py": "import train\n\n\nclass A:\n    async def h(self):\n        pass\n",
        "tests/test_x.py": "import src.core\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rooms_are_folders_and_loose_files_of_src_programs_and_scripts(checkout):
    assert graph(checkout)[0] == {"core", "loose", "models", "train", "scripts"}


def test_arrows_lead_to_the_rooms_that_are_imported(checkout):
    assert graph(checkout)[1] == {("loose", "core"), ("models", "core"), ("train", "models"), ("scripts", "train")}


def test_a_checkout_is_counted(checkout):
    assert counted(checkout) == {
        "rooms": 5,
        "floors": 4,
        "arrows": 4,
        "circles": 0,
        "lines": 5 + 1 + 1 + 4 + 1 + 6,
        "median function, lines": 2,
        "longest function, lines": 4,
        "fullest folder": "src/models/images",
        "files in it": 3,
    }


def test_rooms_that_reach_one_another_are_a_circle():
    arrows = {("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")}
    assert circles("abcd", arrows) == [["b", "c"]]
    assert floors("abcd", arrows) == 3


def test_long_circles_are_found():
    arrows = {(f"{n}", f"{(n + 1) % 9}") for n in range(9)}
    assert [len(circle) for circle in circles(map(str, range(9)), arrows)] == [9]


def test_rooms_without_arrows_are_one_floor():
    assert floors("ab", set()) == 1


def test_each_checkout_has_a_column(checkout, capsys):
    main([str(checkout), str(checkout)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["|", "rooms", "|", "5", "|", "5", "|"]
    assert json.loads(lines[-1])[str(checkout)]["arrows"] == 4


def test_this_project_has_no_circle(capsys):
    main([])
    [result] = json.loads(capsys.readouterr().out.splitlines()[-1]).values()
    assert result["circles"] == 0
