"""A copy of a disk has what was synced; a long test cuts the power of a real run."""

import json
import os

import pytest

from scripts import power_cut
from scripts.power_cut import can_mount, copy_disk, main, make_disk, mounted


@pytest.fixture
def disk(tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("disk images cannot be mounted here")
    (tmp_path / "disk").mkdir()
    make_disk(tmp_path / "disk.img")
    return tmp_path


def test_a_copy_has_what_was_synced_and_not_what_the_system_keeps_in_memory(disk):
    with mounted(disk / "disk.img", disk / "disk") as device:
        with (disk / "disk" / "rows.csv").open("w") as file:
            file.write("1\n")
            file.flush()
            os.fsync(file.fileno())
            file.write("2\n")
            file.flush()
            copy_disk(disk / "disk.img", device, disk / "copy.img")
        assert (disk / "disk" / "rows.csv").read_text() == "1\n2\n"
    with mounted(disk / "copy.img", disk / "disk"):
        assert (disk / "disk" / "rows.csv").read_text() == "1\n"


def test_where_nothing_can_be_mounted_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(power_cut, "can_mount", lambda folder: False)
    with pytest.raises(SystemExit):
        main([])
    assert "disk images cannot be mounted here: run it as root, on Linux" in capsys.readouterr().err


def test_an_unknown_case_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--cases", "moon"])
    assert "there is no case moon" in capsys.readouterr().err


@pytest.mark.long
def test_a_run_resumes_after_a_power_cut_to_the_same_end(disk, capsys):
    status = main(["--cuts", "1", "--cases", "words"])
    output = capsys.readouterr().out
    assert status == 0, output
    assert json.loads(output.splitlines()[-1])["identical"] == 1
