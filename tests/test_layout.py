"""Who may import whom; docs/architecture.md draws it."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.support.programs import program

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "src").rglob("*.py"))
PROGRAMS = [ROOT / "train.py", ROOT / "predict.py", *sorted((ROOT / "scripts").rglob("*.py"))]
# What each room may import of the others. Each room is a folder of src/.
ROOMS = {
    "core": set(),
    "kernels": set(),
    "domains": {"core"},
    "datamodules": {"core"},
    "loggers": {"core"},
    "training": {"core"},
    "report": {"core", "training"},
    "models": {"core", "kernels", "training"},
    "callbacks": {"core", "training", "report"},
    "predict": {"core", "training", "datamodules", "models", "domains"},
    "serving": {"core", "training", "datamodules", "models", "domains"},
}
DOMAINS = {"images", "tables", "text"}
# What Lightning and torch keep to themselves is used in one file.
INTERNALS = "core/internals.py"
# Public in spite of their names (named tuples, os), or of another library that has no other way to it (optuna).
PUBLIC = {"_fields", "_replace", "_asdict", "_exit", "_trial_id"}
KNOW_HYDRA = {"core", "training/run.py", "serving/tables/entity_embedder.py"}


def imports(path):
    """All dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path):
    """The parts behind `src` of each import of this project."""
    return [name.split(".")[1:] for name in imports(path) if name.startswith("src.")]


def name(path):
    return str(path.relative_to(ROOT / "src"))


def domain(parts):
    """The domain that a path or an import belongs to, None for what is common."""
    return next((Path(part).stem for part in parts if Path(part).stem in DOMAINS), None)


def offences(rule, files=FILES):
    """What a rule finds wrong in each file where it finds anything."""
    found = {str(path.relative_to(ROOT)): list(rule(path)) for path in files}
    return {path: wrong for path, wrong in found.items() if wrong}


def test_every_file_of_src_lies_in_a_room():
    loose = [name(path) for path in FILES if path.relative_to(ROOT / "src").parts[0] not in ROOMS]
    assert loose == ["__init__.py"]


def test_a_room_imports_only_the_rooms_below_it():
    def rule(path):
        own = path.relative_to(ROOT / "src").parts[0]
        allowed = ROOMS.get(own, set()) | {own}
        return [".".join(parts) for parts in own_imports(path) if parts[0] not in allowed]

    assert offences(rule) == {}


def test_no_domain_imports_another_and_common_code_imports_none():
    def rule(path):
        own = domain(path.relative_to(ROOT / "src").parts)
        return [".".join(parts) for parts in own_imports(path) if domain(parts) not in (None, own)]

    assert offences(rule) == {}


def test_kernels_alone_import_triton():
    others = [path for path in FILES if not name(path).startswith("kernels/")]
    assert offences(lambda path: [i for i in imports(path) if i.split(".")[0] == "triton"], others) == {}


def test_hydra_is_known_to_the_programs_and_core_only():
    others = [path for path in FILES if not {name(path), name(path).split("/")[0]} & KNOW_HYDRA]
    assert offences(lambda path: [i for i in imports(path) if i.split(".")[0] in ("hydra", "omegaconf")], others) == {}


@pytest.mark.parametrize("program", ["train.py", "predict.py"])
def test_programs_import_torch_only_inside_functions(program):
    body = ast.parse((ROOT / program).read_text()).body
    top = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    top += [node.module for node in body if isinstance(node, ast.ImportFrom)]
    assert [i for i in top if i.split(".")[0] in ("torch", "pytorch_lightning", "torchmetrics")] == []


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def is_own(node):
    """Whether a node is self, cls or super()."""
    node = node.func if isinstance(node, ast.Call) else node
    return isinstance(node, ast.Name) and node.id in ("self", "cls", "super")


def private_names(path):
    """What a file uses of other libraries' private names: imported, as an attribute, or as a string."""
    libraries = ("torch", "pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision")
    yield from (i for i in imports(path) if i.split(".")[0] in libraries and any(map(is_private, i.split("."))))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            yield ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr", "delattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant) and is_private(arg.value))


def test_private_names_of_libraries_stand_in_one_file():
    assert offences(private_names, {*FILES, *PROGRAMS} - {ROOT / "src" / INTERNALS}) == {}


def test_there_is_no_drawer_for_everything():
    assert [path for path in ROOT.glob("src/**/*") if path.stem in ("utils", "util", "helpers", "misc")] == []


def test_a_file_does_not_repeat_its_folder():
    def rule(path):
        folders = {part.removesuffix("s") for part in path.relative_to(ROOT / "src").parts[:-1]}
        return [path.stem] if path.stem.split("_")[0].removesuffix("s") in folders else []

    assert offences(rule) == {}


def test_a_file_stays_under_250_lines():
    files = [*FILES, ROOT / "train.py", ROOT / "predict.py"]
    assert offences(lambda path: path.read_text().splitlines()[249:], files) == {}


def without(domain, folder):
    """A copy of the tree without a domain: its folders, its files, and the parts of conf that build on them."""
    for name in ("src", "conf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "predict.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "train_and_ask.py").write_text(
        "import sys\nfrom tests.support.other_domains import main\nmain(sys.argv[1])"
    )
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.stem == domain:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    gone = [path for path in (folder / "conf").rglob("*.yaml") if re.search(rf"src\.\w+\.{domain}\.", path.read_text())]
    for path in gone:
        path.unlink()
    return folder


@pytest.mark.parametrize(
    "domain", ["images", *(pytest.param(name, marks=pytest.mark.long) for name in sorted(DOMAINS - {"images"}))]
)
def test_a_tree_without_a_domain_trains_and_predicts_the_others(domain, tmp_path):
    tree = without(domain, tmp_path / "tree")
    done = program(str(tree / "train_and_ask.py"), str(tmp_path), cwd=tree)
    assert done.returncode == 0, done.stderr
    works = [line.removeprefix("works: ") for line in done.stdout.splitlines() if line.startswith("works: ")]
    assert works == sorted(DOMAINS - {domain})
