"""Which errors are the user's, and in which words; tests/core/test_check.py has the mistakes on the command line."""

import sys

import pytest
from hydra.errors import InstantiationException
from omegaconf.errors import MissingMandatoryValue

from src.core import migrations
from src.core.errors import ConfigError, first_line
from src.core.explain import JobFailed, blamed_on, explain, readable_errors
from src.core.formats import Migration
from src.core.ranks import check_ranks
from tests.support.programs import composed
from tests.support.tiny import trainer


def raised_by(function, *arguments):
    with pytest.raises(Exception) as caught:
        function(*arguments)
    return caught.value


def ended(error, monkeypatch, *arguments):
    """The exit status of a program that raises this error."""
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as end, readable_errors("train"):
        raise error
    return end.value.code


def test_a_config_error_is_told_in_its_words(monkeypatch, capsys):
    assert ended(ConfigError("no such key"), monkeypatch) == 1
    assert capsys.readouterr().err == "error: no such key\n"


def test_debug_and_a_bug_show_the_traceback(monkeypatch, capsys):
    for error, arguments in ((ConfigError("no"), ["debug=true"]), (KeyError("bug"), [])):
        assert ended(error, monkeypatch, *arguments) == 1
        assert capsys.readouterr().err.startswith("Traceback")


def test_ctrl_c_has_its_own_status(monkeypatch, capsys):
    assert ended(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "stopped by SIGINT\n"


def test_a_failed_job_has_spoken_unless_it_was_on_another_machine(monkeypatch, capsys):
    assert ended(JobFailed("error: no\n"), monkeypatch) == 1
    assert capsys.readouterr().err == "error: no\n"
    here = JobFailed("error: no\n")
    here.__cause__ = ConfigError("no")
    assert ended(here, monkeypatch) == 1
    assert capsys.readouterr().err == ""


def test_a_key_from_before_an_upgrade_leads_to_its_name_of_today(monkeypatch):
    since = Migration(arguments={"src.models.images.classifier.ImageClassifier": {"rate": "lr"}})
    monkeypatch.setattr(migrations, "MIGRATIONS", [since])
    refused = raised_by(composed, "model.rate=1")
    assert explain(refused, ["model.rate=1"], "train") == "model.rate is called model.lr now: give model.lr=1"


def test_what_this_project_refuses_is_for_the_user(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = raised_by(check_ranks, trainer(), 8)
    assert explain(refused, [], "train").startswith("torchrun started 2 processes")


@pytest.mark.parametrize("error", [ValueError("of a library"), KeyError("a"), RuntimeError("CUDA error")])
def test_what_others_raise_is_not(error):
    assert explain(error, [], "train") is None
    assert explain(raised_by(int, "a"), [], "train") is None


@pytest.mark.parametrize(
    "words", ["Connection closed by peer [::1]", "Connection reset by peer", "a remote process exited"]
)
def test_a_rank_that_waits_for_one_that_is_gone_names_no_cause(words):
    assert explain(RuntimeError(words), [], "train") == "another process of this run has failed; its own error says why"
    assert explain(KeyError(words), [], "train") is None


def test_what_instantiate_wraps_is_unwrapped():
    wrapped = InstantiationException("Error in call to target\nmore")
    wrapped.__cause__ = ConfigError("lr must be positive")
    assert explain(wrapped, [], "train") == "lr must be positive"
    wrapped.__cause__ = KeyError("a")
    assert explain(wrapped, [], "train") == "Error in call to target"


def test_a_missing_value_is_named():
    assert explain(MissingMandatoryValue("Missing mandatory value: model.lr"), [], "train") == (
        "model.lr must be given: model.lr=..."
    )


def test_the_first_line_of_an_error():
    assert first_line(ValueError(" one\ntwo")) == "one"
    assert first_line(KeyError()) == ""


def load_state_dict(state):
    return state["missing"]


def test_an_error_that_nobody_foresaw_names_the_file_that_is_read():
    with pytest.raises(ConfigError) as raised, blamed_on("a.ckpt"):
        load_state_dict({})
    assert str(raised.value) == (
        "a.ckpt is damaged or from another program, or this is a fault of fastlight (KeyError: 'missing'); "
        "debug=true shows more"
    )


def test_errors_without_a_file_and_errors_after_restoring_stay_as_they_are():
    with pytest.raises(KeyError), blamed_on(None):
        load_state_dict({})
    with pytest.raises(KeyError), blamed_on("a.ckpt", only_while_restoring=True):
        {}["missing"]
    with pytest.raises(ConfigError), blamed_on("a.ckpt", only_while_restoring=True):
        load_state_dict({})


def test_a_place_that_the_system_refuses_is_told_in_words(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        told = explain(raised_by(path.mkdir), [], "train")
        assert told is not None
        assert told.startswith(f"cannot use {path}: ")
        assert told.endswith("; name another place, or make this one usable")
