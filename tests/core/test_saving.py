import errno
import os

import pytest

from src.core.saving import SaveError, saving, set_on_save_error

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def continues():
    set_on_save_error("continue")
    yield
    set_on_save_error("stop")


def save(what, error=None):
    with saving(what):
        if error is not None:
            raise error


def test_a_run_that_cannot_save_stops_with_what_and_why():
    with pytest.raises(SaveError, match=r"^cannot save run/a.csv: No space left on device$"):
        save("run/a.csv", FULL)


def test_a_run_that_continues_is_told_once_for_each_file(continues, capsys):
    for what in ("a.csv", "a.csv", "b.csv", "a.csv"):
        save(what, FULL)
    words = "No space left on device; the training continues\n"
    assert capsys.readouterr().err == f"warning: cannot save a.csv: {words}warning: cannot save b.csv: {words}"


def test_a_file_that_could_be_saved_in_between_is_told_again(continues, capsys):
    for error in (FULL, None, FULL):
        save("a.csv", error)
    assert capsys.readouterr().err.count("warning") == 2


def test_an_error_of_another_kind_is_not_hidden(continues):
    with pytest.raises(KeyError):
        save("a.csv", KeyError())


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r"trainer.on_save_error must be stop or continue, got ignore"):
        set_on_save_error("ignore")
