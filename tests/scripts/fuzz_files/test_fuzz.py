"""The fuzz notices what it looks for; a long test lets it try real programs."""

import mmap
import os
import random
import signal
import sys

import pytest

from scripts.fuzz_files.__main__ import fuzz, outside, schedule
from scripts.fuzz_files.attempt import Ending, attempt
from scripts.fuzz_files.mutations import mutated_bytes, mutated_value

LIMIT = 1 << 30


def test_changes_repeat_with_the_same_draw_and_differ_with_others():
    content = b"some content of a file" * 20
    found = [mutated_bytes(content, random.Random(n)) for n in (1, 1, 2, 3)]
    assert found[0] == found[1]
    assert len({*found, content}) == 4


def test_values_change_in_one_place_of_a_copy():
    value = {"a": [1, 2], "b": {"c": "x"}}
    harmful = {"_target_": "os.mkdir", "_args_": ["harm"]}
    found = [mutated_value(value, random.Random(n), harmful) for n in range(200)]
    assert value == {"a": [1, 2], "b": {"c": "x"}}
    assert sum(each != value for each in found) > 150
    assert any("os.mkdir" in str(each) and "oc.create" not in str(each) for each in found)
    assert any("${oc.create:{_target_: os.mkdir" in str(each) for each in found)


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        (Ending(0, "", 0), None),
        (Ending(0, "note: something\nwarning: more", 0), None),
        (Ending(1, "error: the file is damaged\nput another there", 0), None),
        (Ending(1, "note: a\nerror: 3 of 5 files left out:\na\nb\nc", 0), None),
        (Ending(1, "error: a\nb\nc", 0), "an error of 3 lines"),
        (Ending(1, "Traceback (most recent call last):\n  x\nKeyError: 'a'", 0), "traceback: KeyError: 'a'"),
        (Ending(1, "", 0), "status 1 without an error: no words"),
        (Ending(0, "", LIMIT + 1), "took 1,024 MB"),
        (Ending(-signal.SIGSEGV, "", 0), "killed by signal 11"),
        (Ending(-signal.SIGALRM, "", 0), "no answer in time"),
    ],
)
def test_an_ending_is_right_or_a_fault(ending, fault):
    assert ending.fault(LIMIT) == fault


@pytest.mark.filterwarnings("ignore:.*fork")
def test_an_attempt_tells_how_it_ended(tmp_path):
    def fail():
        sys.stderr.write("error: no\n")
        sys.exit(1)

    assert attempt(lambda: None, tmp_path).status == 0
    ending = attempt(fail, tmp_path)
    assert (ending.status, ending.text) == (1, "error: no\n")
    assert "ZeroDivisionError" in attempt(lambda: 1 / 0, tmp_path).text
    assert attempt(lambda: os.kill(os.getpid(), signal.SIGKILL), tmp_path).status == -signal.SIGKILL
    assert attempt(lambda: mmap.mmap(-1, 200 << 20).write(b"x" * (100 << 20)), tmp_path).memory > 50 << 20


def test_all_kinds_have_their_share():
    names = [name for name, _ in schedule({"a": 3, "b": 6, "c": 1}, 20)]
    assert (names.count("a"), names.count("b"), names.count("c")) == (6, 12, 2)


def test_what_lies_outside_of_an_attempt_is_seen(tmp_path):
    (tmp_path / "attempt").mkdir()
    before = outside(tmp_path)
    (tmp_path / "attempt" / "x").touch()
    assert outside(tmp_path) == before
    (tmp_path / "harm").touch()
    assert outside(tmp_path) - before == {str(tmp_path / "harm")}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*fork")
def test_changed_files_run_nothing_and_end_in_words(tmp_path, capsys):
    assert fuzz(tmp_path, 50, seed=1) == 0, capsys.readouterr().out
    assert "| all | 50 |" in capsys.readouterr().out
