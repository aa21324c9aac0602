"""The torture tells how a run should end; a long test sends real signals."""

import json
import signal
from types import SimpleNamespace

import pytest

from scripts import torture_signals
from scripts.torture_resume.runs import Life
from scripts.torture_signals import main, stop

TERM = signal.SIGTERM


@pytest.mark.parametrize(
    ("status", "said", "ended", "finished", "verdict"),
    [
        pytest.param(143, "stopped by SIGTERM after step 3; saved\n", False, False, ("training", True), id="training"),
        pytest.param(143, "stopped by SIGTERM\n", False, False, ("start-up", True), id="start-up"),
        pytest.param(-15, "", False, False, ("before its handlers", True), id="Python itself"),
        pytest.param(-15, "1,797 digits\n", False, False, ("start-up", False), id="no handler"),
        pytest.param(0, "", False, False, ("start-up", False), id="lost"),
        pytest.param(0, "", False, True, None, id="over before it came"),
        pytest.param(0, "", True, True, None, id="over before it was sent"),
        pytest.param(143, "", False, False, ("start-up", False), id="without a line"),
        pytest.param(143, "stopped by SIGTERM\n" * 2, False, False, ("start-up", False), id="two lines"),
        pytest.param(143, "Traceback\nstopped by SIGTERM\n", False, False, ("start-up", False), id="a traceback"),
        pytest.param(143, "stopped by SIGINT\n", False, False, ("start-up", False), id="another signal"),
    ],
)
def test_how_a_run_should_end(status, said, ended, finished, verdict, tmp_path, monkeypatch):
    process = SimpleNamespace(
        send_signal=lambda number: None, wait=lambda timeout: status, poll=lambda: status if ended else None
    )
    (tmp_path / "output.txt").write_text(said)
    run = SimpleNamespace(
        start=lambda: process, is_finished=finished, log=tmp_path / "output.txt", folder=tmp_path / "run"
    )
    draw = SimpleNamespace(choice=lambda numbers: TERM, uniform=lambda *_: 0.0)
    found = stop(run, Life(1.0, 2.0), draw)
    assert (found if found is None else (found[0], not found[1])) == verdict


def test_an_unknown_case_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--cases", "moon"])
    assert "there is no case moon" in capsys.readouterr().err


def test_wrong_ends_give_exit_status_1(monkeypatch, capsys, tmp_path):
    ends = iter([("start-up", ""), None, ("training", "status 0")])
    monkeypatch.setattr(torture_signals, "write_data", lambda folder: None)
    monkeypatch.setattr(torture_signals.Run, "finish", lambda self: Life(1.0, 2.0))
    monkeypatch.setattr(torture_signals, "stop", lambda run, life, draw: next(ends))
    assert main(["--signals", "2", "--cases", "table"]) == 1
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counts == {"signals": 2, "right": 1, "start-up": 1, "training": 1, "seed": 0}


@pytest.mark.long
def test_runs_end_as_their_signals_should_end_them(capsys):
    status = main(["--signals", "3", "--cases", "digits"])
    assert status == 0, capsys.readouterr().out
