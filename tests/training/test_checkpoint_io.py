import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import zipfile
from contextlib import suppress
from multiprocessing import get_context

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from src.core.checksums import damage_of
from src.core.saving import SaveError
from src.training.checkpoint_io import CheckpointIO, ReadCheckpoint, read_checkpoint, write_checkpoint
from tests.support.disks import files_limited_to
from tests.support.programs import ROOT, same
from tests.support.tiny import AtBatch, TinyImages, classifier, trainer

DATA = {"state_dict": {"weight": torch.arange(700.0)}, "epoch": 3, "names": ["a", "b"]}


@pytest.fixture
def path(tmp_path):
    write_checkpoint(DATA, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_checkpoint_reads_as_it_was_written(path):
    assert same(read_checkpoint(path), DATA)
    assert os.listdir(path.parent) == ["last.ckpt"]


@pytest.mark.filterwarnings("ignore:.*fork")  # Python 3.12: beside threads
@pytest.mark.parametrize("moment", ["in the middle of writing", "before the new name"])
def test_a_kill_leaves_the_older_checkpoint_and_the_next_save_clears_up(path, monkeypatch, moment):
    def write_half_and_die(checkpoint, file):
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def be_killed():
        if moment == "before the new name":
            os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        else:
            torch.save = write_half_and_die
        write_checkpoint({"epoch": 7}, path)

    process = get_context("fork").Process(target=be_killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(os.listdir(path.parent)) == 2
    assert same(read_checkpoint(path), DATA)
    write_checkpoint({"epoch": 8}, path)
    assert os.listdir(path.parent) == ["last.ckpt"]
    assert read_checkpoint(path) == {"epoch": 8}


@pytest.mark.long
def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(tmp_path):
    script = (
        "import os, random, signal, sys, time, torch\n"
        "from pathlib import Path\n"
        "from src.core.files import remove_unfinished\n"
        "from src.training.checkpoint_io import read_checkpoint, write_checkpoint\n"
        "path, data = Path(sys.argv[1]), torch.zeros(200_000)\n"
        "write_checkpoint({'data': data}, path)\n"
        "halves = 0\n"
        "while halves < 8:  # saves that a kill interrupted\n"
        "    remove_unfinished(path)\n"
        "    child = os.fork()\n"
        "    while child == 0:\n"
        "        data += 1\n"
        "        write_checkpoint({'data': data}, path)\n"
        "    time.sleep(random.uniform(0.002, 0.03))\n"
        "    os.kill(child, signal.SIGKILL)\n"
        "    os.waitpid(child, 0)\n"
        "    halves += len(os.listdir(path.parent)) > 1\n"
        "    assert len(read_checkpoint(path)['data'].unique()) == 1\n"
        "write_checkpoint({'data': data}, path)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "last.ckpt")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, timeout=120)
    assert os.listdir(tmp_path) == ["last.ckpt"]  # the next save takes the place of an unfinished one


def test_a_full_disk_leaves_the_older_checkpoint_whole(small_disk):
    path = small_disk / "checkpoints" / "last.ckpt"
    write_checkpoint(DATA, path)
    with pytest.raises(SaveError) as raised:
        write_checkpoint({"weight": torch.zeros(30_000)}, path)
    assert str(raised.value) == (
        f"cannot save {path}: No space left on device; the one saved there before is whole"
    )  # fmt: skip
    assert same(read_checkpoint(path), DATA)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_a_limit_on_files_leaves_the_older_checkpoint_whole(path):
    with (
        files_limited_to(2000),
        pytest.raises(SaveError, match=r"last.ckpt: File too large; the one saved there befor"),
    ):
        write_checkpoint(DATA, path)
    assert same(read_checkpoint(path), DATA)
    assert os.listdir(path.parent) == ["last.ckpt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"file/last.ckpt: .*; there is none from before"):
        write_checkpoint(DATA, tmp_path / "file" / "last.ckpt")


def test_what_cannot_be_pickled_is_no_trouble_of_the_disk(tmp_path):
    with pytest.raises(Exception, match=r"(?i)pickle"):
        write_checkpoint({"model": lambda: None}, tmp_path / "last.ckpt")
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_cannot_sync_folders_holds_checkpoints_all_the_same(path, monkeypatch):
    def sync(descriptor, fsync=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_checkpoint({"epoch": 7}, path)
    assert read_checkpoint(path) == {"epoch": 7}


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_torch_loads_a_flipped_bit_in_silence_and_we_do_not(path):
    flip(path, path.read_bytes().index(DATA["state_dict"]["weight"].numpy().tobytes()) + 400)
    assert not same(torch.load(path, weights_only=True), DATA)
    with pytest.raises(ValueError) as raised:
        read_checkpoint(path)
    assert str(raised.value).endswith(
        "last.ckpt is damaged or not a checkpoint: the checksum of archive/data/0 does not match; "
        "there is no whole one beside it"
    )


def test_whole_checkpoints_beside_a_damaged_one_are_named(path):
    for name in ("best.ckpt", "epoch-1.ckpt"):
        write_checkpoint(DATA, path.with_name(name))
    for damaged in (path, path.with_name("best.ckpt")):
        flip(damaged, damaged.read_bytes().index(DATA["state_dict"]["weight"].numpy().tobytes()) + 400)
    with pytest.raises(ValueError, match=r"does not match; whole ones beside it: epoch-1\.ckpt$"):
        read_checkpoint(path)


def test_no_flipped_bit_changes_what_is_read(path):
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for position in [*range(0, directory, 29), *range(directory, len(whole), 3)]:
        flip(path, position, position % 8)
        with suppress(ValueError):
            assert same(read_checkpoint(path), DATA), position
        path.write_bytes(whole)


def test_a_record_that_a_flipped_bit_marks_as_a_folder_is_damage(path):
    # torch finds it empty then, and gives the tensor whatever the memory holds.
    directory_entry = path.read_bytes().rindex(b"archive/data/0") - 46
    flip(path, directory_entry + 38, bit=4)
    assert damage_of(path) == "the checksum of archive/data/0 does not match"


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"last.ckpt is damaged or not a checkpoint: File is not a zip file"):
        read_checkpoint(path)


@pytest.mark.parametrize("choices", [{}, {"strategy": "ddp", "devices": 2}], ids=["one device", "ddp"])
def test_every_strategy_saves_and_loads_through_it(choices):
    assert isinstance(trainer(**choices).strategy.checkpoint_io, CheckpointIO)


def test_a_checkpoint_that_weights_only_refuses_is_refused_whoever_asks(tmp_path):
    torch.save({"state_dict": {}, "model": torch.nn.Linear(2, 3)}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a.ckpt is not a checkpoint of plain data and tensors"):
        trainer().fit(classifier(), TinyImages(), ckpt_path=tmp_path / "a.ckpt", weights_only=False)


def run_out_of_disk(folder, on_save_error):
    """Train three epochs, the disk full from the second on; checkpoints have a name for each epoch, one is kept."""
    limit = AtBatch(
        lambda trainer, model: (
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1)) if trainer.global_step == 4 else None
        )
    )
    run = trainer(3, limit, ModelCheckpoint(folder), enable_checkpointing=True, on_save_error=on_save_error)
    with files_limited_to(-1):
        run.fit(classifier(), TinyImages())
    return run


def test_a_training_that_cannot_save_stops_and_keeps_the_older_checkpoint(tmp_path):
    with pytest.raises(SaveError, match=r"cannot save .*epoch=1-step=6.ckpt: File too large"):
        run_out_of_disk(tmp_path, "stop")
    assert os.listdir(tmp_path) == ["epoch=0-step=3.ckpt"]
    assert read_checkpoint(tmp_path / "epoch=0-step=3.ckpt")["global_step"] == 3


def test_a_training_that_cannot_save_goes_on_if_told_to_and_says_so_each_time(tmp_path, capsys):
    assert run_out_of_disk(tmp_path, "continue").global_step == 9
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split("/")[-1].split(":")[0] for line in warnings] == ["epoch=1-step=6.ckpt", "epoch=2-step=9.ckpt"]
    assert all(line.startswith("warning: cannot save") for line in warnings)
    assert os.listdir(tmp_path) == ["epoch=0-step=3.ckpt"]


def test_another_word_for_on_save_error_is_refused():
    with pytest.raises(ValueError, match=r"trainer.on_save_error must be stop or continue, got ignore"):
        trainer(on_save_error="ignore")


def test_what_could_not_be_saved_is_not_tested_in_its_older_state(tmp_path, capsys):
    run = run_out_of_disk(tmp_path, "continue")
    assert run.checkpoint_callback.best_model_path.endswith("epoch=2-step=9.ckpt")
    assert run.best_checkpoint() is None
    assert "warning: the best weights could not be saved; the last ones are tested\n" in capsys.readouterr().err


def test_a_best_checkpoint_that_was_saved_is_tested(tmp_path):
    run = trainer(1, ModelCheckpoint(tmp_path), enable_checkpointing=True)
    run.fit(classifier(), TinyImages())
    assert run.best_checkpoint() == f"{tmp_path}/epoch=0-step=3.ckpt"


def test_weights_alone_are_no_checkpoint_to_go_on_from(tmp_path):
    torch.save({"net.weight": torch.zeros(2)}, tmp_path / "weights.ckpt")
    with pytest.raises(ValueError, match=r"weights.ckpt is not a checkpoint of a training; weights alone cannot be"):
        trainer().fit(classifier(), TinyImages(), ckpt_path=tmp_path / "weights.ckpt")


@pytest.mark.parametrize("content", [{"net.weight": torch.zeros(2)}, [7], torch.zeros(2)], ids=["dict", "list", "one"])
@pytest.mark.parametrize("name", ["weights.ckpt", "+.ckpt"])
def test_what_is_not_of_a_training_is_refused_whatever_it_holds(tmp_path, name, content):
    torch.save(content, tmp_path / name)
    with pytest.raises(ValueError, match="is not a checkpoint of a training"):
        CheckpointIO("stop").load_checkpoint(tmp_path / name)


def test_the_weights_that_forked_ranks_return_are_read(tmp_path):
    torch.save(weights := {"net.weight": torch.arange(2.0)}, tmp_path / ".temp.ckpt")
    assert same(CheckpointIO("stop").load_checkpoint(tmp_path / ".temp.ckpt"), weights)


def with_best(path, folder, **state):
    """A checkpoint of a training at `path`, whose best one is said to be in `folder`; the state that is loaded."""
    said = {"dirpath": folder, "best_model_path": f"{folder}/best.ckpt", "best_model_score": 0.5} | state
    write_checkpoint({"pytorch-lightning_version": "2.6", "callbacks": {"best": said, "none": None, "x": {}}}, path)
    return CheckpointIO("stop").load_checkpoint(path)["callbacks"]["best"]


def test_a_run_that_was_moved_finds_its_best_checkpoint_where_it_is_now(tmp_path):
    (tmp_path / "best.ckpt").touch()
    state = with_best(tmp_path / "last.ckpt", "/old/run", best_k_models={"/old/run/best.ckpt": 0.5}, kth_value=7)
    here = str(tmp_path)
    assert (state["dirpath"], state["best_model_path"]) == (here, f"{here}/best.ckpt")
    assert state["best_k_models"] == {f"{here}/best.ckpt": 0.5}
    assert (state["best_model_score"], state["kth_value"]) == (0.5, 7)


def test_a_best_checkpoint_that_is_elsewhere_is_forgotten(tmp_path):
    assert with_best(tmp_path / "last.ckpt", "/old/run")["best_model_path"] == ""


def test_a_checkpoint_that_was_just_read_is_not_read_again_but_the_next_time(tmp_path, monkeypatch):
    def damage_of(path):
        compared.append(path)

    io, compared = CheckpointIO("stop"), []
    monkeypatch.setattr("src.training.checkpoint_io.damage_of", damage_of)
    write_checkpoint({"pytorch-lightning_version": "2.6"}, path := tmp_path / "last.ckpt")
    io.given = ReadCheckpoint(str(path), is_whole=True)
    loads = [(io.load_checkpoint(path), len(compared))[1] for _ in range(2)]
    assert loads == [0, 1]
