"""Reports of runs as a user starts them."""

import html
import re
import shlex
import shutil
from contextlib import suppress

import pytest
import torch

from scripts.report import config_of, main, rebuild
from src.core.errors import ConfigError
from src.core.run_dir import RunDir
from tests.support.programs import program, scores_of, train_here


def text_of(run_dir):
    return (run_dir / "report.html").read_text()


def command_of(run_dir):
    """The words of the command that a report says repeats its run."""
    [line] = re.findall("<pre><code>(.*)</code></pre>", text_of(run_dir))
    return shlex.split(html.unescape(line))


def test_a_report_is_small_and_shows_what_the_net_has_learned(digits_run):
    assert len(text_of(digits_run)) < 1_000_000
    assert "images of the test split" in text_of(digits_run)


@pytest.mark.long
def test_the_command_of_a_report_repeats_the_run(tmp_path):
    small = ["trainer.max_epochs=1", "datamodule.classes=[3, 8]", "model.net.widths=[5]", "~callbacks.confusion_matrix"]
    first = program("train.py", *small, f"run_dir={tmp_path}/first", "overwrite=true", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    python, train, *arguments = command_of(tmp_path / "first")
    assert (python, train) == ("python", "train.py")
    again = program(train, *arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    [run_dir] = (tmp_path / "runs" / "digits").iterdir()
    assert scores_of(run_dir) == scores_of(tmp_path / "first")
    assert command_of(run_dir) == command_of(tmp_path / "first")


def test_a_run_that_no_command_line_began_is_repeated_from_its_config(tmp_path):
    train_here(tmp_path, "trainer.max_epochs=1")
    rebuild(str(tmp_path))
    words = command_of(tmp_path)
    assert words == ["python", "train.py", f"--config-path={tmp_path}", "--config-name=config", "run_dir=NEW"]


def test_a_rebuilt_report_is_the_one_that_the_run_wrote(digits_run, monkeypatch, capsys):
    written = text_of(digits_run)
    monkeypatch.chdir(digits_run)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the run had
    main([str(digits_run)])
    torch.set_num_threads(threads)
    assert capsys.readouterr().out == f"{digits_run}/report.html\n"
    assert text_of(digits_run) == written


def test_a_run_without_a_checkpoint_gets_its_curves_and_a_note(tmp_path, digits_run, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(digits_run, run_dir, ignore=shutil.ignore_patterns("*.ckpt", "metrics.json"))
    rebuild(str(run_dir))
    assert (
        capsys.readouterr().err
        == f"note: {run_dir}/checkpoints has no checkpoint; the page shows nothing of the model\n"
    )
    assert "How the training went" in text_of(run_dir)
    assert "images of the test split" not in text_of(run_dir)


def test_a_run_whose_data_are_gone_gets_the_rest(tmp_path, capsys):
    run_dir = train_here(tmp_path / "run", "trainer.max_epochs=1")
    config = (
        (run_dir / "config.yaml")
        .read_text()
        .replace("src.datamodules.images.digits.Digits", "src.datamodules.gone.Gone")
    )
    view = "callbacks:\n  report:\n    view:\n      _target_: src.report.images.view.ImageView\n"
    view += "      max_rows: 9\n      num_images: 2\n      num_pairs: 2\n"
    (run_dir / "config.yaml").write_text(config.replace("callbacks:\n", view))
    rebuild(str(run_dir))
    assert capsys.readouterr().err.startswith("warning: the report lacks what ImageView shows of the model (")
    assert "How the training went" in text_of(run_dir)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\S+ does not hold a run: it has no config.yaml"):
        rebuild(str(tmp_path))


def test_an_address_gets_its_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = train_here(tmp_path / "store", "trainer.max_epochs=1")
    rebuild(run_dir.as_uri())
    assert "How the training went" in text_of(run_dir)


@pytest.fixture
def foreign(digits_run, tmp_path, monkeypatch):
    """A copy of a run, and a function that gives its config.yaml other text."""
    run_dir = tmp_path / "run"
    shutil.copytree(digits_run, run_dir)
    monkeypatch.chdir(tmp_path)

    def change(before, after):
        text = (run_dir / "config.yaml").read_text()
        assert before in text
        (run_dir / "config.yaml").write_text(text.replace(before, after))
        return run_dir

    return change


@pytest.mark.parametrize("part", ["src.report.images.view.ImageView", "src.datamodules.images.digits.Digits"])
@pytest.mark.parametrize("harm", ["os.mkdir", "src.core.files.write_text", "src.datamodules.download.fetch"])
def test_a_foreign_config_runs_nothing(foreign, tmp_path, capsys, part, harm):
    run_dir = foreign(f"_target_: {part}\n", f"_target_: {harm}\n")
    before = sorted(path for path in tmp_path.rglob("*") if path.name != "report.html")
    text = words_of(capsys, run_dir)
    assert f"config.yaml names {harm}, which is not run" in text
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "report.html") == before


def words_of(capsys, run_dir):
    """What `python -m scripts.report` says on stderr."""
    with suppress(SystemExit):  # what a report needs is an error, what its view needs a warning
        main([str(run_dir)])
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    return text


def test_a_foreign_config_resolves_nothing(foreign, tmp_path, capsys):
    harm = "${oc.create:{_target_: os.mkdir, path: harm}}"
    run_dir = foreign("_target_: src.datamodules.images.digits.Digits", f'x: "{harm}"\n  _target_: os.mkdir')
    assert "a saved config has plain values only" in words_of(capsys, run_dir)
    assert not (tmp_path / "harm").exists()


def test_caches_go_to_the_own_folder_and_not_to_the_one_that_a_config_names(foreign, tmp_path):
    run_dir = foreign("cache_dir:", f"cache_dir: {tmp_path}/theirs\nx:")
    config = config_of(RunDir(run_dir), None, "cache")
    assert config["cache_dir"] == "cache"
    foreign("datamodule:\n", "datamodule:\n  cache_dir: /elsewhere\n")
    assert config_of(RunDir(run_dir), None, "cache")["datamodule"]["cache_dir"] == "cache"
    assert config_of(RunDir(run_dir), None, f"{tmp_path}/theirs")["cache_dir"] == f"{tmp_path}/theirs"
