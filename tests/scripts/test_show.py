import pytest

from scripts.show import main, page
from tests.support.make_data import write_image_folder, write_sets

SETS = {
    "images": ["experiment=images", "datamodule.folder=pets", "datamodule.image_size=6", "datamodule.cache_size=8"],
    "tables": ["experiment=diabetes"],
    "text": ["experiment=wikitext2_small", "datamodule.bptt=5"],
}
SHOWN = {"images": "As the net sees them in training", "tables": "Rows to train on", "text": "Windows to train on"}


@pytest.fixture
def places(tmp_path):
    write_sets(tmp_path)
    write_image_folder(tmp_path / "pets", ("cat", "dog"), size=(9, 7))
    return [f"data_dir={tmp_path}", f"cache_dir={tmp_path}/cache"]


@pytest.mark.parametrize("domain", SETS)
def test_each_domain_shows_its_batches(domain, places):
    text = page([*SETS[domain], *places])
    assert SHOWN[domain] in text
    assert "Batches: train " in text


def test_the_page_is_written_and_its_path_shown_and_nothing_else(places, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    main(["experiment=diabetes", *places])
    assert [path.name for path in folder.iterdir()] == ["show.html"]
    assert capsys.readouterr().out.endswith("show.html\n")


def test_a_wrong_key_is_told_in_words(places, capsys):
    with pytest.raises(SystemExit):
        main(["experiment=diabetes", "datamodule.batchsize=3", *places])
    assert capsys.readouterr().err.startswith("error: Could not override 'datamodule.batchsize'")
