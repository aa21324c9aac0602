"""What run_dir/config.yaml holds, and what a resumed run says of it."""

import json

import pytest
from omegaconf import OmegaConf

from src.core import migrations, run_config
from src.core.check import check
from src.core.errors import ConfigError
from src.core.formats import Migration
from src.core.run_config import continue_older_run, fetch_run, in_newest_format, plain, save_config, with_fetched_data
from src.core.run_dir import RunDir
from tests.support.programs import composed


def config(folder, *overrides):
    return composed(f"run_dir={folder}/run", f"cache_dir={folder}/cache", *overrides)


def saved(folder):
    return OmegaConf.load(RunDir(folder / "run").config_yaml)


def test_the_config_is_returned_as_plain_data_and_resolved(tmp_path):
    values = plain(config(tmp_path, "seed=3"))
    assert type(values) is dict
    assert values["seed"] == 3
    assert values["trainer"]["default_root_dir"] == f"{tmp_path}/run"


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
    save_config(score)
    assert saved(tmp_path).seed == 3


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    save_config(config(tmp_path))
    assert not (tmp_path / "run").exists()


def test_data_in_a_plain_folder_are_used_where_they_are(tmp_path):
    local = config(tmp_path)
    assert with_fetched_data(local) is local


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


SMALL = "src.models.images.cnn_small.CNNSmall"
SINCE = {  # as if these arguments were new
    SMALL: {"widths": [4, 7]},
    "src.datamodules.images.augmentation.Augmentation": {"flip": True},
    "src.models.images.fast_net.FastNet": {"depths": [1]},
    "train": {"quiet": True},
}


@pytest.fixture
def older_run(tmp_path, monkeypatch):
    """A run of an older format, without the arguments of SINCE, in tmp_path/run."""
    save_config(config(tmp_path, "seed=3"))
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, Migration(added=SINCE)])
    file = OmegaConf.to_container(saved(tmp_path))
    del file["model"]["net"]["widths"], file["datamodule"]["augmentation"]["flip"], file["quiet"]
    OmegaConf.save(OmegaConf.create(file), RunDir(tmp_path / "run").config_yaml)
    return RunDir(tmp_path / "run")


NOTE = (
    "note: the run began with an older fastlight and continues as it did: "
    "datamodule.augmentation.flip=True, model.net.widths=[4, 7]\n"
)


def test_the_config_of_an_older_run_gets_what_it_lacks(tmp_path, older_run):
    updated = in_newest_format(saved(tmp_path))
    assert (updated.model.net.widths, updated.datamodule.augmentation.flip, updated.quiet) == ([4, 7], True, True)
    assert updated.fastlight_format == migrations.newest_format()
    assert OmegaConf.is_struct(updated)
    OmegaConf.set_struct(updated, False)
    del updated["defaults"], updated["hydra"]
    check(updated)


def test_a_config_of_the_newest_format_is_left_alone(tmp_path):
    cfg = config(tmp_path)
    assert in_newest_format(cfg) is cfg


def test_a_config_from_the_future_says_so(tmp_path):
    newest = migrations.newest_format()
    message = f"the run's config.yaml is of format {newest + 2}, and this fastlight knows formats up to {newest}"
    with pytest.raises(ConfigError, match=message):
        in_newest_format(config(tmp_path, f"fastlight_format={newest + 2}"))


def test_a_resumed_older_run_does_what_it_did(tmp_path, older_run, capsys):
    cfg = config(tmp_path, "resume=true", "seed=3")
    continue_older_run(cfg, ["resume=true"])
    assert (cfg.model.net.widths, cfg.datamodule.augmentation.flip, cfg.quiet) == ([4, 7], True, False)
    save_config(cfg)
    assert capsys.readouterr().err == NOTE  # and no other value is another one than before


def test_it_does_so_again_once_its_config_is_of_the_newest_format(tmp_path, older_run, capsys):
    for _ in range(2):
        cfg = config(tmp_path, "resume=true", "seed=3")
        continue_older_run(cfg, [])
        save_config(cfg)
        assert cfg.model.net.widths == [4, 7]
        assert capsys.readouterr().err == NOTE
    assert older_run.kept() == {"datamodule.augmentation.flip": True, "model.net.widths": [4, 7]}
    older_run.clear()
    assert older_run.kept() == {}


def test_what_the_command_line_gives_an_older_run_is_used(tmp_path, older_run):
    given = ["resume=true", "model.net.widths=[9]"]
    cfg = config(tmp_path, *given)
    continue_older_run(cfg, given)
    assert cfg.model.net.widths == [9]


def test_another_net_does_not_get_the_older_ones_arguments(tmp_path, older_run):
    cfg = config(tmp_path, "resume=true", "model/net=fast_net")
    continue_older_run(cfg, [])
    assert cfg.model.net.widths == [32, 64, 128]


def test_scoring_an_older_runs_checkpoint_asks_the_net_that_it_trained(tmp_path, older_run):
    cfg = composed(f"run_dir={tmp_path}/scores", "task=test", f"checkpoint={older_run.best_ckpt}")
    continue_older_run(cfg, [])
    assert cfg.model.net.widths == [4, 7]
    assert older_run.kept() == {}


def test_a_new_run_is_not_asked_for_an_older_one(tmp_path, older_run):
    cfg = config(tmp_path, "overwrite=true")
    continue_older_run(cfg, [])
    assert cfg.model.net.widths == [32, 64, 128]


def test_an_older_run_is_repeated_by_its_config(tmp_path, older_run):
    older_run.overrides_json.write_text('["seed=3"]')
    assert older_run.command().startswith("python train.py --config-path=")
    save_config(config(tmp_path), ["seed=3"])
    assert older_run.command() == "python train.py seed=3"
