import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from src.core.check import check
from src.core.errors import ConfigError, nearest
from tests.support.programs import composed, program, program_without_torch


def refused(folder, *arguments):
    """The error of `python train.py ARGUMENTS`, which must be quick, short, without traceback and without traces."""
    finished = program_without_torch("train.py", *arguments, cwd=folder)
    assert finished.returncode == 1, finished.stderr
    assert finished.stdout == ""
    assert list(folder.iterdir()) == []
    lines = finished.stderr.splitlines()
    assert len(lines) <= 2
    assert lines[0].startswith("error: ")
    return finished.stderr.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("modle.lr=1", "there is no key modle.lr; did you mean model.lr?"),
        ("lr=1", "there is no key lr; did you mean model.lr?"),
        ("model.optimizer.weigth_decay=0", "no key model.optimizer.weigth_decay; did you mean model.optimizer.weight_"),
        ("datamodule=digit", "there is no datamodule digit; did you mean digits?; there are "),
        ("experiment=digitz", "there is no experiment digitz; did you mean digits?"),
        ("model.lr=fast", "model.lr must be float, got 'fast'"),
        ("seed=1.5", "seed must be int, got 1.5"),
        ("seed=true", "seed must be int, got True"),
        ("model.net.widths=3", "model.net.widths must be list[int], got 3"),
        ("checkpoint=None", "checkpoint=None is the text 'None': write checkpoint=null"),
        ("resume=yes", "resume must be True, False or auto, got 'yes'"),
        ("task=tset", "task must be fit, test or validate, got 'tset'"),
        ("model.backbone=eight.ckpt", "model.backbone=eight.ckpt is not a file"),
        ("task=test", "task=test scores a trained model: give checkpoint=PATH"),
        ("trainer.min_steps=3", "trainer.min_steps has its default, which conf does not name; set it with +trainer."),
        (
            "+model.net.width=3",
            "src.models.images.cnn_small.CNNSmall has no argument model.net.width; did you mean wid",
        ),
        ("seed=0,1", "Ambiguous value for argument 'seed=0,1': add -m for one job per value, or quote a list"),
        ("model.lr", "'model.lr' is not key=value"),
        ("model.net._target_=src.models.images.cnn_small.CNN", "cnn_small.py has no CNN, it has CNNSmall"),
        ("model.lr=???", "model.lr must be given: model.lr=..."),
        ("~model.lr", "model lacks lr, which src.models.images.classifier.ImageClassifier needs"),
    ],
)
def test_a_slip_on_the_command_line_is_answered_with_the_way_out(tmp_path, argument, message):
    assert message in refused(tmp_path, argument)


def test_a_missing_checkpoint_is_answered_with_the_nearest_file(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "best.ckpt").touch()
    (tmp_path / "work").mkdir()
    message = refused(tmp_path / "work", f"checkpoint={folder}/bets.ckpt")
    assert message == f"checkpoint={folder}/bets.ckpt is not a file; did you mean {folder}/best.ckpt?"


def test_resuming_where_nothing_ran_says_to_give_the_folder(tmp_path):
    message = refused(tmp_path, "resume=true", "run_dir=none/here")
    assert message.endswith(f"{tmp_path}/none/here/checkpoints has no checkpoint; give run_dir=PATH")


def test_resuming_in_a_folder_that_is_new_each_time_is_refused(tmp_path):
    assert refused(tmp_path, "resume=auto") == "resume=auto continues the run in run_dir: give run_dir=PATH"


@pytest.mark.parametrize(
    "start",
    [
        ["resume=auto"],
        ["task=fit", "checkpoint=run/checkpoints/best.ckpt"],
        ["model.backbone=run/checkpoints/best.ckpt"],
    ],
)
def test_what_overwriting_would_clear_is_nothing_to_start_from(tmp_path, start):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    kept = tmp_path / "run" / "checkpoints" / "best.ckpt"
    kept.touch()
    start = [argument.replace("=run/", f"={tmp_path}/run/") for argument in start]
    with pytest.raises(ConfigError, match=r"^overwrite=true clears run_dir, and with it what the run starts from"):
        check(composed(f"run_dir={tmp_path}/run", "overwrite=true", *start))
    assert kept.is_file()


def test_debug_shows_the_traceback(tmp_path):
    finished = program_without_torch("train.py", "seed=1.5", "debug=true", cwd=tmp_path)
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr
    assert finished.stderr.strip().endswith("ConfigError: seed must be int, got 1.5")


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--info", "defaults-tree"]])
@pytest.mark.parametrize("name", ["train.py", "predict.py"])
def test_help_comes_without_torch(tmp_path, name, arguments):
    finished = program_without_torch(name, *arguments, cwd=tmp_path)
    assert finished.returncode in (None, 0)
    assert len(finished.stdout.splitlines()) > 3
    assert list(tmp_path.iterdir()) == []


def test_what_the_data_refuse_is_an_error_in_words_too(tmp_path):
    finished = program("train.py", "datamodule.train_per_class=2000", cwd=tmp_path)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "error: datamodule.train_per_class must be at most" in finished.stderr


def test_each_job_of_a_multirun_names_its_own_mistake(tmp_path):
    finished = program_without_torch("train.py", "-m", "seed=1.5,2.5", "run_dir=sweep", cwd=tmp_path)
    assert finished.returncode == 1
    errors = [line for line in finished.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: seed must be int, got 1.5", "error: seed must be int, got 2.5"]


@pytest.fixture
def config(tmp_path):
    return composed(f"run_dir={tmp_path}/run")


def test_the_default_config_is_right(config):
    check(config)


@pytest.mark.parametrize("callbacks", ["default", "lr_finder", "[text,bptt_finder,lr_finder]", "[lr_finder,images]"])
@pytest.mark.parametrize(("model", "scored"), [("image_classifier", "val/accuracy"), ("language_model", "val/loss")])
def test_what_the_best_checkpoint_is_chosen_by_is_the_model_s_affair(callbacks, model, scored):
    assert composed(f"model={model}", f"callbacks={callbacks}").callbacks.best.monitor == scored


def test_a_whole_number_serves_as_a_float(config):
    config.model.lr = 1
    check(config)


def test_a_missing_value_is_found_before_the_run(config):
    config.model.lr = "???"
    with pytest.raises(MissingMandatoryValue, match=r"full_key: model\.lr"):
        check(config)


def test_a_partial_may_leave_out_what_the_code_fills_in(config):
    assert config.model.optimizer._partial_  # torch.optim.AdamW needs params
    check(config)


def test_a_module_that_is_not_there_is_named(config):
    config.model._target_ = "nowhere.Model"
    with pytest.raises(ConfigError, match=r"^model\._target_: nowhere\.Model: there is no module nowhere"):
        check(config)


def test_a_refused_config_leaves_an_used_run_dir_alone(config, tmp_path):
    kept = tmp_path / "run" / "metrics.csv"
    kept.parent.mkdir()
    kept.touch()
    OmegaConf.update(config, "seed", 1.5)
    with pytest.raises(ConfigError):
        check(config)
    assert kept.is_file()


def test_nearest_prefers_a_key_that_ends_like_the_word():
    assert nearest("lr", ["lrs", "model.lr"]) == "; did you mean model.lr?"


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("zebra", ["model.lr", "seed"]) == ""
