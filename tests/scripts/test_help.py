"""Each script has a help text that names its module and opens with its docstring."""

import importlib

import pytest

from tests.support.programs import ROOT

WITH_HYDRA = {"export"}  # its help is conf/hydra/help/export.yaml
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (ROOT / "scripts").rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text()
}


@pytest.mark.parametrize("name", sorted(MODULES - {f"scripts.{name}" for name in WITH_HYDRA}))
def test_help_names_the_module_and_shows_its_docstring(name, capsys):
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m {name} ")
    assert module.__doc__.splitlines()[0] in text
    assert f"python -m {name} " in module.__doc__
