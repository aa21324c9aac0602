import os
import subprocess
import sys

import pytest

from src.core import output
from src.core.errors import ROOT


@pytest.fixture
def quiet():
    output.set_quiet(True)
    yield
    output.set_quiet(False)


def speak():
    output.show("score 1")
    output.show_rich("[bold]table")
    output.note("two rows left out")
    output.warn("not saved")


def test_results_go_to_stdout_and_remarks_to_stderr(capsys):
    speak()
    assert not output.is_quiet()
    assert capsys.readouterr() == ("score 1\ntable\n", "note: two rows left out\nwarning: not saved\n")


def test_quiet_hides_results_only(capsys, quiet):
    speak()
    assert output.is_quiet()
    assert capsys.readouterr() == ("", "note: two rows left out\nwarning: not saved\n")


FULL = "import sys; sys.path.insert(0, {root!r}); from src.core.output import note, set_loses_output, show"


def ended(program):
    """The exit status and the stderr of a program whose stdout is a file on a full disk."""
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-c", f"{FULL.format(root=str(ROOT))}; {program}"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    return process.returncode, process.stderr


def test_a_run_that_continues_without_saving_goes_on_without_its_stdout():
    program = "set_loses_output(True); show('a'); show('b'); note('c')"
    assert ended(program) == (0, "warning: cannot write to stdout: No space left on device\nnote: c\n")


def test_what_others_print_then_does_not_change_the_exit_status():
    assert ended("set_loses_output(True); print('a')") == (0, "")


def test_any_other_program_fails_if_it_cannot_write_its_results():
    status, stderr = ended("show('a')")
    assert status != 0
    assert "No space left on device" in stderr


def test_remarks_for_which_there_is_no_space_stop_nothing(monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        output.note("two rows left out")
        output.warn("not saved")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # closing it flushes
