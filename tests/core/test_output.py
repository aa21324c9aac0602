import pytest

from src.core import output


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
