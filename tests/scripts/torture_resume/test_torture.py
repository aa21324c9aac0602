"""The torture counts kills and differences; a long test kills real runs."""

import json
import random
import signal
from types import SimpleNamespace

import pytest

from scripts.torture_resume import __main__ as program
from scripts.torture_resume import runs
from scripts.torture_resume.__main__ import Torture, main
from scripts.torture_resume.runs import Life, kill


@pytest.fixture
def tortured(tmp_path, monkeypatch, capsys):
    """A function that tortures made-up runs; returns the exit status and the counts."""

    def torture(happenings, endings, *, kills, cases=("digits",)):
        happenings, endings = iter(happenings), iter(endings)
        monkeypatch.setattr(program.Run, "finish", lambda self: Life(1.0, 2.0))
        monkeypatch.setattr(program, "write_data", lambda folder: None)
        monkeypatch.setattr(program, "kill", lambda run, life, draw: next(happenings))
        monkeypatch.setattr(program, "ending", lambda folder: {"file": next(endings)})
        status = Torture(tmp_path, list(cases), kills=kills, seed=0).all()
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    return torture


def test_kills_are_counted_until_there_are_enough(tortured):
    status, counts = tortured(["killed"] * 3, ["same"] * 9, kills=3)
    assert status == 0
    assert (counts["kills"], counts["identical"], counts["cases"]) == (3, 3, 1)


def test_the_cases_take_turns(tortured):
    _, counts = tortured([None, "killed"] * 9, ["same"] * 9, kills=1, cases=("digits", "table"))
    assert (counts["runs"], counts["cases"]) == (2, 2)


@pytest.mark.parametrize(("second", "status"), [("other", 1), ("same", 0)])
def test_a_run_that_ended_before_its_first_kill_counts_if_it_differs(second, status, tortured):
    assert tortured([None, "killed"], ["same", second, "same"], kills=1)[0] == status


def test_a_run_that_ends_otherwise_is_reported(tortured):
    status, counts = tortured(["killed"], ["same", "other"], kills=1)
    assert (status, counts["kills"], counts["identical"]) == (1, 1, 0)


def test_an_unknown_case_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--cases", "digits,moon"])
    assert "there is no case moon; there are digits, table" in capsys.readouterr().err


# Drawn in this order: the signal, whether the kill is early, the moment.
@pytest.mark.parametrize(
    ("number", "status", "early", "finished", "verdict"),
    [
        (signal.SIGKILL, -9, False, False, "SIGKILL after 0.0 s, exit status -9: nothing yet"),
        (signal.SIGTERM, 143, False, False, "SIGTERM after 0.0 s, exit status 143: nothing yet"),
        (signal.SIGTERM, -15, True, False, "SIGTERM after 0.0 s, exit status -15: nothing yet"),
        (signal.SIGTERM, -15, False, False, None),  # an error: the handler was there and did not work
        (signal.SIGTERM, 1, False, False, None),
        (signal.SIGTERM, 0, False, True, ""),
        (signal.SIGTERM, 0, False, False, None),
    ],
)
def test_a_kill_is_what_the_signal_should_do(number, status, early, finished, verdict, monkeypatch, tmp_path):
    sent = []
    process = SimpleNamespace(send_signal=sent.append, wait=lambda timeout: status)
    monkeypatch.setattr(runs, "kill_all", lambda process: sent.append(signal.SIGKILL))
    run = SimpleNamespace(
        start=lambda: process,
        wait_for_config=lambda process, since: None,
        is_finished=finished,
        log=tmp_path / "output.txt",
        state=lambda: "nothing yet",
    )
    run.log.write_text("the end")
    draw = SimpleNamespace(choice=lambda signals: number, random=lambda: 0.0 if early else 0.5, uniform=lambda *_: 0.0)
    monkeypatch.setattr(runs, "time", SimpleNamespace(time=lambda: 0.0, sleep=lambda seconds: None))
    if verdict is None:
        with pytest.raises(RuntimeError, match=f"SIGTERM gave exit status {status}\nthe end"):
            kill(run, Life(1.0, 2.0), draw)
    else:
        assert kill(run, Life(1.0, 2.0), draw) == (verdict or None)
    assert sent[0] == number


@pytest.mark.long
def test_killed_runs_end_like_undisturbed_ones(tmp_path, capsys):
    status = Torture(tmp_path, ["digits"], kills=2, seed=5).all()
    output = capsys.readouterr().out
    assert status == 0, output
    result = json.loads(output.splitlines()[-1])
    assert (result["kills"], result["identical"]) == (2, 2)


def test_the_moments_depend_on_the_seed_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "write_data", lambda folder: None)
    first, second = (Torture(tmp_path, list(program.CASES), kills=1, seed=3) for _ in range(2))
    assert first.cases == second.cases
    assert sorted(first.cases) == sorted(program.CASES)
    assert isinstance(first.random, random.Random)
