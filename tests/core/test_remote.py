"""Runs and data at addresses: memory:// within this process, file:// between processes."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from src.core import remote
from src.core.remote import Copy, RemoteError, folder_for
from src.core.run_dir import own_run_dir
from src.core.signals import Stopped
from src.training.checkpoint_io import CheckpointIO
from tests.support.callbacks.signal_at import signal_at
from tests.support.make_data import write_image_folder
from tests.support.programs import (
    ROOT,
    SMALL,
    checkpoint_of,
    program,
    same,
    scores_of,
    table_of,
    train_here,
)

STORE = "memory://bucket/sets"


@pytest.fixture
def store():
    """A file system in memory, with two files."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pipe({"/bucket/sets/a.csv": b"a", "/bucket/sets/deep/b.csv": b"b", "/bucket/settle/c.csv": b"c"})
    yield memory
    memory.store.clear()


def content(folder):
    """Name -> bytes of the files in a folder, without hidden ones."""
    paths = [path for path in Path(folder).rglob("[!.]*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def stored(memory):
    return {name: memory.cat(name) for name in memory.find("/bucket/sets")}


def test_a_copy_has_the_files_below_its_address(store, tmp_path):
    assert Copy(STORE, tmp_path).fetch() == 2
    assert content(tmp_path) == {"a.csv": b"a", "deep/b.csv": b"b"}


def test_what_was_fetched_is_on_the_disk_before_the_record_says_so(store, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "sync", lambda: order.append(sorted(content(tmp_path))))
    monkeypatch.setattr(remote, "write_text", lambda path, text: order.append(path.name))
    Copy(STORE, tmp_path).fetch()
    assert order == [sorted(content(tmp_path)), ".address.json"]


def test_only_what_has_changed_is_fetched_again(store, tmp_path):
    Copy(STORE, tmp_path).fetch()
    before = (tmp_path / "deep/b.csv").stat().st_ino
    store.pipe("/bucket/sets/a.csv", b"A")
    Copy(STORE, tmp_path).fetch()
    assert content(tmp_path) == {"a.csv": b"A", "deep/b.csv": b"b"}
    assert (tmp_path / "deep/b.csv").stat().st_ino == before


def test_what_was_removed_at_the_address_goes_and_what_is_only_here_stays(store, tmp_path):
    Copy(STORE, tmp_path).fetch()
    (tmp_path / "own.txt").write_text("own")
    store.rm("/bucket/sets/a.csv")
    Copy(STORE, tmp_path).fetch()
    assert content(tmp_path) == {"deep/b.csv": b"b", "own.txt": b"own"}


def test_what_got_lost_here_is_fetched_again(store, tmp_path):
    Copy(STORE, tmp_path).fetch()
    (tmp_path / "a.csv").unlink()
    Copy(STORE, tmp_path).fetch()
    assert content(tmp_path)["a.csv"] == b"a"


def test_no_name_at_an_address_leads_out_of_the_folder(store, tmp_path):
    store.store["/bucket/sets/../../evil.csv"] = store.store["/bucket/sets/a.csv"]
    Copy(STORE, tmp_path / "x" / "y").fetch()
    assert not list(tmp_path.rglob("evil.csv"))


def test_each_address_has_a_folder_of_its_own():
    addresses = ["s3://a/b_c", "s3://a/b/c", "s3://a/../../b"]
    folders = {folder_for(address, "cache/runs") for address in addresses}
    assert len(folders) == 3
    assert {str(Path(folder).parent) for folder in folders} == {"cache/runs"}
    assert folder_for("runs/x", "cache/runs") == "runs/x"


def test_what_is_written_changed_and_removed_is_sent(store, tmp_path):
    Copy(STORE, tmp_path).fetch()
    (tmp_path / "a.csv").write_text("longer")
    (tmp_path / "deep/b.csv").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/c.csv").write_text("c")
    Copy(STORE, tmp_path).send()
    assert stored(store) == {"/bucket/sets/a.csv": b"longer", "/bucket/sets/new/c.csv": b"c"}


def test_only_what_has_changed_is_sent_again(store, tmp_path):
    (tmp_path / "c.csv").write_text("c")
    Copy(STORE, tmp_path).send()
    store.pipe("/bucket/sets/c.csv", b"of another machine")
    Copy(STORE, tmp_path).send()
    assert store.cat("/bucket/sets/c.csv") == b"of another machine"


def test_what_was_sent_is_not_fetched_back(store, tmp_path):
    (tmp_path / "c.csv").write_text("c")
    Copy(STORE, tmp_path).send()
    before = (tmp_path / "c.csv").stat().st_ino
    Copy(STORE, tmp_path).fetch()
    assert (tmp_path / "c.csv").stat().st_ino == before


def test_hidden_and_unfinished_files_are_not_sent(store, tmp_path):
    store.rm("/bucket/sets", recursive=True)
    for name in (".lock", "last.ckpt.tmp", "last.ckpt"):
        (tmp_path / name).write_text(name)
    Copy(STORE, tmp_path).send()
    assert stored(store) == {"/bucket/sets/last.ckpt": b"last.ckpt"}


def test_files_are_sent_in_the_order_in_which_they_were_written(store, tmp_path):
    for name, written in (("z", 1), ("a", 3), ("m", 2)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (written, written))
    Copy(STORE, tmp_path).send()
    times = {name: store.created(f"/bucket/sets/{name}") for name in "zma"}
    assert times["z"] < times["m"] < times["a"]


def test_a_file_that_arrives_by_half_leaves_the_older_one_whole(tmp_path):
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom src.core.remote import Copy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # as on a disk that is full
        "Copy(sys.argv[1], Path(sys.argv[2])).send()\n"
    )
    address = f"file://{tmp_path}/there"
    (tmp_path / "here").mkdir()
    (tmp_path / "here/last.ckpt").write_text("older")
    Copy(address, tmp_path / "here").send()
    (tmp_path / "here/last.ckpt").write_text("newer" * 1000)
    arguments = [sys.executable, "-c", script, address, str(tmp_path / "here")]
    failed = subprocess.run(
        arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True
    )
    assert f"cannot write {address}: [Errno 27] File too large" in failed.stderr
    assert content(tmp_path / "there") == {"last.ckpt": b"older"}


def test_data_at_an_address_trains_like_data_here(store, tmp_path):
    data = ["datamodule=image_folder", "datamodule.folder=photos", f"cache_dir={tmp_path}/cache", "callbacks=default"]
    data += ["datamodule.image_size=8", "datamodule.batch_size=10", "trainer.max_epochs=1"]
    write_image_folder(tmp_path / "data/photos", classes=("cat", "dog"), size=(8, 8))
    store.put(str(tmp_path / "data"), "/bucket/data", recursive=True)
    here = train_here(tmp_path / "here", f"data_dir={tmp_path}/data", *data)
    there = train_here(tmp_path / "there", "data_dir=memory://bucket/data", *data)
    assert same(checkpoint_of(here)["state_dict"], checkpoint_of(there)["state_dict"])
    assert "data_dir: memory://bucket/data\n" in (there / "config.yaml").read_text()


def test_an_address_without_data_is_named(store, tmp_path):
    with pytest.raises(FileNotFoundError, match="data_dir=memory://bucket/nothing holds no files"):
        train_here(tmp_path / "run", "data_dir=memory://bucket/nothing", f"cache_dir={tmp_path}")


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_missing_package_is_named(tmp_path):
    failed = program("train.py", "run_dir=s3://bucket/run", cwd=tmp_path)
    assert (failed.returncode, failed.stderr) == (
        1,
        "error: cannot read s3://bucket/run: Install s3fs to access S3\n",
    )


def test_a_run_here_imports_nothing_of_it(tmp_path):
    script = "import sys\nimport src.core.check, src.core.run_dir\nsys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def run(folder, **changes):
    start = {"task": "fit", "resume": False, "overwrite": False, "checkpoint": None}
    trainer = SimpleNamespace(on_save_error="stop")
    return own_run_dir(SimpleNamespace(run_dir=str(folder), **(start | {"trainer": trainer} | changes)))


def write_and_raise(path, error):
    path.write_text("step\n")
    raise error


def test_a_run_that_is_cleared_here_is_cleared_at_its_address_before_it_begins(store, tmp_path):
    store.pipe({"/bucket/sets/finished": b"", "/bucket/sets/checkpoints/last.ckpt": b"older"})
    here = Path(folder_for(STORE, str(tmp_path)))
    Copy(STORE, here).fetch()
    with run(here, overwrite=True):
        assert sorted(stored(store)) == ["/bucket/sets/a.csv", "/bucket/sets/deep/b.csv"]
    assert "/bucket/sets/finished" in stored(store)


def test_a_signal_leaves_all_at_the_address_and_names_it(store, tmp_path):
    here = Path(folder_for(STORE, str(tmp_path)))
    Copy(STORE, here).fetch()
    stopped = Stopped(signal.SIGTERM, f"; go on with resume=true run_dir={here}")
    with pytest.raises(Stopped), run(here):
        write_and_raise(here / "metrics.csv", stopped)
    assert stopped.note == f"; go on with resume=true run_dir={STORE}"
    assert stored(store)["/bucket/sets/metrics.csv"] == b"step\n"


@pytest.fixture
def unreachable(tmp_path):
    """A run's folder that stands for an address below a plain file, and how that sounds."""
    (tmp_path / "file").write_text("")
    address = f"file://{tmp_path}/file/x"
    here = Path(folder_for(address, str(tmp_path)))
    here.mkdir()
    (here / ".address.json").write_text(json.dumps({"address": address, "files": {}}))
    return here, f"cannot write {address}: [Errno 20] Not a directory"


def test_a_checkpoint_that_cannot_be_sent_stops_the_training_or_not(unreachable, capsys):
    here, message = unreachable
    path = here / "checkpoints/last.ckpt"
    with pytest.raises(RemoteError) as error:
        CheckpointIO("stop").save_checkpoint({}, path)
    assert str(error.value).startswith(message)
    CheckpointIO("continue").save_checkpoint({}, path)
    assert capsys.readouterr().err.startswith(f"warning: {message}")


def test_the_end_of_a_run_that_cannot_be_sent_is_an_error(unreachable):
    here, message = unreachable
    with pytest.raises(RemoteError, match=re.escape(message)), run(here):
        (here / "metrics.csv").touch()


def test_the_end_of_a_run_that_cannot_be_sent_is_a_warning_if_it_shall_go_on(unreachable, capsys):
    here, message = unreachable
    with run(here, trainer=SimpleNamespace(on_save_error="continue")):
        (here / "metrics.csv").touch()
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {message}")
    assert warning.endswith(f"what is missing there is in {here}\n")


def test_an_error_of_the_run_is_told_even_if_its_end_cannot_be_sent(unreachable, capsys):
    here, _ = unreachable
    with pytest.raises(ZeroDivisionError), run(here):
        write_and_raise(here / "metrics.csv", ZeroDivisionError())
    assert capsys.readouterr().err.startswith("warning: cannot write")


def test_a_folder_from_elsewhere_is_not_sent_to_the_address_that_it_brings(store, tmp_path):
    record = {"address": STORE, "files": {"a.csv": ["", 0, 0]}}
    (tmp_path / ".address.json").write_text(json.dumps(record))
    with run(tmp_path):
        (tmp_path / "metrics.csv").touch()
    assert sorted(stored(store)) == ["/bucket/sets/a.csv", "/bucket/sets/deep/b.csv"]


@pytest.mark.parametrize("name", ["../precious", "/{}/precious", "x/../../precious"])
def test_a_record_removes_nothing_outside_of_its_folder(store, tmp_path, name):
    here = Path(folder_for(STORE, str(tmp_path)))
    here.mkdir()
    (tmp_path / "precious").touch()
    files = {name.format(tmp_path): ["", 0, 0]}
    (here / ".address.json").write_text(json.dumps({"address": STORE, "files": files}))
    Copy(STORE, here).fetch()
    assert (tmp_path / "precious").is_file()


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", '{"address": 3, "files": []}', "\0"])
def test_a_damaged_record_is_as_none(store, tmp_path, content):
    (tmp_path / ".address.json").write_text(content)
    assert Copy.at(tmp_path) is None
    assert Copy(STORE, tmp_path).fetch() == 2


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """A run that was killed on one machine, which is a cache_dir, and went on on another."""
    folder = tmp_path_factory.mktemp("machines")
    arguments = [*SMALL, f"run_dir=file://{folder}/store/run", "resume=auto"]
    kill = signal_at(hook="on_train_batch_start", step=8, signum=9)  # after the first epoch's checkpoint
    first = program("train.py", *arguments, *kill, f"cache_dir={folder}/first", cwd=folder)
    assert first.returncode == -9, first.stderr
    second = program("train.py", *arguments, f"cache_dir={folder}/second", cwd=folder)
    assert second.returncode == 0, second.stderr
    (folder / "stdout.txt").write_text(second.stdout)
    return folder


def test_a_run_goes_on_on_another_machine_and_ends_like_an_uninterrupted_one(machines, tmp_path):
    whole, run_dir = train_here(tmp_path / "whole"), machines / "store/run"
    for name in ("last", "best"):
        a, b = checkpoint_of(whole, name), checkpoint_of(run_dir, name)
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"):
            assert same(a[part], b[part]), (name, part)
    assert table_of(whole) == table_of(run_dir)
    assert scores_of(whole) == scores_of(run_dir)
    names = ("finished", "metrics.json", "config.yaml")
    assert all((run_dir / name).is_file() for name in names)


def test_the_last_line_says_the_address(machines):
    last = (machines / "stdout.txt").read_text().splitlines()[-1]
    assert last.startswith(f"file://{machines}/store/run: ")


def test_a_finished_run_at_an_address_is_not_begun_anew(machines, tmp_path):
    address = f"file://{machines}/store/run"
    third = program("train.py", f"run_dir={address}", f"cache_dir={tmp_path}", cwd=tmp_path)
    way_out = "continue it with resume=true, or clear it with overwrite=true"
    assert (third.returncode, third.stderr) == (1, f"error: run_dir={address} holds a finished run: {way_out}\n")


def test_each_job_of_a_multirun_has_an_address_of_its_own(tmp_path):
    address = f"file://{tmp_path}/sweep"
    failed = program("train.py", "-m", "seed=4,5", f"run_dir={address}", "resume=true", cwd=tmp_path)
    for job in "01":  # which have nothing to resume from
        assert f"{address}/{job}/checkpoints has no checkpoint" in failed.stderr
