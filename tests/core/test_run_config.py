"""What run_dir/config.yaml holds, and what a resumed run says of it."""

import json

import pytest
from omegaconf import OmegaConf

from src.core import run_config
from src.core.run_config import fetch_run, save_config, with_fetched_data
from src.core.run_dir import RunDir
from tests.support.programs import composed


def config(folder, *overrides):
    return composed(f"run_dir={folder}/run", f"cache_dir={folder}/cache", *overrides)


def saved(folder):
    return OmegaConf.load(RunDir(folder / "run").config_yaml)


def test_the_config_is_returned_as_plain_data_and_resolved(tmp_path):
    plain = save_config(config(tmp_path, "seed=3"))
    assert type(plain) is dict
    assert plain["seed"] == 3
    assert plain["trainer"]["default_root_dir"] == f"{tmp_path}/run"


def test_the_file_opens_with_the_line_that_repeats_the_run(tmp_path):
    save_config(config(tmp_path))
    first = RunDir(tmp_path / "run").config_yaml.read_text().splitlines()[0]
    assert first == f"# Repeat: python train.py --config-path={tmp_path}/run --config-name=config run_dir=NEW"


def test_paths_below_run_dir_follow_a_repeated_run(tmp_path):
    save_config(config(tmp_path, "resume=auto", "overwrite=true", f"data_dir={tmp_path}/run-data"))
    file = saved(tmp_path)
    assert OmegaConf.to_container(file)["callbacks"]["best"]["dirpath"] == "${run_dir}/checkpoints"
    assert OmegaConf.to_container(file)["trainer"]["default_root_dir"] == "${run_dir}"
    assert (file.run_dir, file.resume, file.overwrite) == (f"{tmp_path}/run", False, False)
    assert file.data_dir == f"{tmp_path}/run-data"  # beside run_dir, not in it


def test_the_choices_are_kept_without_the_place(tmp_path):
    choices = ["seed=1", "run_dir=a", "resume=true", "overwrite=true", "model.lr=2"]
    save_config(config(tmp_path), choices)
    path = RunDir(tmp_path / "run").overrides_json
    assert json.loads(path.read_text()) == ["seed=1", "model.lr=2"]
    save_config(config(tmp_path))  # whose choices nobody knows
    assert not path.exists()


def test_a_resumed_run_names_the_keys_that_changed(tmp_path, capsys):
    save_config(config(tmp_path, "seed=0"))
    save_config(config(tmp_path, "seed=1", "+trainer.min_epochs=1", "debug=true", "quiet=true", "resume=true"))
    changed = "seed, datamodule.seed, trainer.min_epochs"
    assert capsys.readouterr().err == f"note: resumed with other values than before: {changed}\n"
    assert saved(tmp_path).seed == 1
    save_config(config(tmp_path, "seed=1", "+trainer.min_epochs=1", "resume=true"))
    save_config(config(tmp_path, "seed=2"))  # a new run
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("task", ["test", "validate"])
def test_scoring_a_run_in_its_folder_keeps_the_config_of_its_training(tmp_path, task):
    score = config(tmp_path, "seed=9", f"task={task}")
    save_config(score)
    assert saved(tmp_path).seed == 9  # there was none
    save_config(config(tmp_path, "seed=3"))
    assert save_config(score)["seed"] == 9
    assert saved(tmp_path).seed == 3


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert save_config(config(tmp_path))["seed"] == 0
    assert not (tmp_path / "run").exists()


def test_data_in_a_plain_folder_are_used_where_they_are(tmp_path):
    plain = config(tmp_path)
    assert with_fetched_data(plain) is plain


@pytest.mark.parametrize(
    ("rank", "resume", "fetches"), [("0", False, True), ("1", False, False), ("1", True, True), ("0", "auto", True)]
)
def test_the_first_rank_fetches_a_run_and_the_others_to_resume_it(tmp_path, monkeypatch, rank, resume, fetches):
    monkeypatch.setenv("RANK", rank)
    fetched = []
    monkeypatch.setattr(run_config.Copy, "fetch", lambda copy: fetched.append((copy.address, copy.folder)))
    run = config(tmp_path, f"resume={resume}")
    fetch_run(run, None)
    assert fetched == []
    fetch_run(run, "s3://bucket/run")
    assert fetched == [("s3://bucket/run", tmp_path / "run")] * fetches
