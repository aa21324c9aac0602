"""What a power cut leaves of a run: the checkpoint and all that it counts."""

import os
import stat
from pathlib import Path

import pytest

from src.callbacks.text.samples import TextSamples
from tests.support.programs import checkpoint_of, same, table_of, train_here
from tests.training.test_resume import stop


@pytest.fixture
def disk(monkeypatch):
    """The contents of files as they were when they were last synced, by inode."""
    synced, sync = {}, os.fsync

    def sync_and_note(descriptor):
        sync(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            synced[os.fstat(descriptor).st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    monkeypatch.setattr(os, "fsync", sync_and_note)
    return synced


def on_disk(path, disk):
    return disk.get(path.stat().st_ino) == path.read_bytes()


def test_all_files_are_on_the_disk_before_a_checkpoint_has_its_name(tmp_path, disk, monkeypatch):
    """A power cut after the rename then finds each row, and the files that a resume reads."""
    checked, rename = [], os.replace

    def check_and_rename(old, new):
        if Path(new).suffix == ".ckpt":
            files = [path for path in tmp_path.glob("*") if path.is_file() and not path.name.startswith(".")]
            assert [path.name for path in files if not on_disk(path, disk)] == []
            checked.append({path.name for path in files})
            assert on_disk(Path(old), disk)
        rename(old, new)

    monkeypatch.setattr(os, "replace", check_and_rename)
    train_here(tmp_path, "logger=[csv,wandb]", "trainer.max_epochs=2")
    assert len(checked) >= 3
    assert all({"config.yaml", "metrics.csv"} <= names for names in checked)
    assert on_disk(tmp_path / "wandb" / "id.txt", disk)


def test_samples_are_on_the_disk_before_a_checkpoint_counts_them(tmp_path, disk):
    path = tmp_path / "samples.txt"
    path.write_text("epoch 0, step 3: ab\n")
    samples = TextSamples(path=str(path), prompts=["a"], length=1, temperature=1.0, top_p=None)
    assert samples.state_dict() == {"bytes": 20}
    assert on_disk(path, disk)


@pytest.mark.parametrize("left", [b"", b"\0" * 99], ids=["empty", "zeros"])
def test_a_run_resumes_though_a_power_cut_took_its_other_files(left, tmp_path, capsys):
    whole = train_here(tmp_path / "whole")
    stop(tmp_path / "cut", 8, False)
    rows = checkpoint_of(tmp_path / "cut")["resume"]["loggers"]["CSVLogger"]["rows"]
    names = ("config.yaml", "overrides.json", "environment.json", "metrics.json", "metrics.csv")
    for name in names:
        (tmp_path / "cut" / name).write_bytes(left)
    capsys.readouterr()
    cut = train_here(tmp_path / "cut", "resume=true")
    assert same(checkpoint_of(whole)["state_dict"], checkpoint_of(cut)["state_dict"])
    assert table_of(cut) == table_of(whole)[rows:]
    notes = sorted(capsys.readouterr().err.splitlines())
    assert notes == [
        f"note: {cut}/config.yaml is damaged and written anew: whether values differ from before is not known",
        f"note: {cut}/metrics.csv has only 0 of the {rows} rows that the checkpoint counts; the rest is lost",
        f"note: {cut}/metrics.json is damaged and taken as empty",
    ]
