import pytest
import wandb

from src.loggers.wandb_logger import choose_mode, is_logged_in, make_run_id
from tests.support.programs import train_here


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    """A machine on which nobody has logged in; its home is an empty folder."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_a_key_nobody_is_logged_in(no_key):
    assert not is_logged_in()


def test_a_key_in_the_environment_is_a_login(no_key, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert is_logged_in()


def test_a_key_in_the_netrc_file_is_a_login(no_key):
    (no_key / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    (no_key / ".netrc").chmod(0o600)
    assert is_logged_in()


def test_a_key_for_another_server_is_no_login(no_key, monkeypatch):
    (no_key / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    (no_key / ".netrc").chmod(0o600)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not is_logged_in()


def test_nobody_is_asked_for_a_key(no_key, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(ValueError, match="WANDB_MODE=online needs an API key: run `wandb login`"):
        choose_mode()


def test_the_mode_is_offline_without_a_key_and_online_with_one(no_key, monkeypatch):
    assert choose_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert choose_mode() == "online"


def test_the_environment_decides_the_mode(no_key, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert choose_mode() == "disabled"


def test_a_resumed_run_keeps_its_id(tmp_path):
    first = make_run_id(tmp_path / "wandb" / "id.txt", resume=False)
    assert make_run_id(tmp_path / "wandb" / "id.txt", resume=True) == first


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0\0\0\0\0\0", b"../x\n"])
def test_a_damaged_id_is_told_and_drawn_anew(tmp_path, content, capsys):
    path = tmp_path / "id.txt"
    path.write_bytes(content)
    new = make_run_id(path, resume=True)
    assert len(new) == 8
    assert path.read_text() == f"{new}\n"
    assert f"note: {path} is damaged: W&B keeps the rest of this run as a run of its own" in capsys.readouterr().err


def test_a_run_of_a_sweep_has_the_id_that_the_agent_gave_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    assert make_run_id(tmp_path / "wandb" / "id.txt", resume=False) == "given"
    assert (tmp_path / "wandb" / "id.txt").read_text() == "given\n"


def test_a_new_run_in_an_old_folder_gets_a_new_id(tmp_path):
    first = make_run_id(tmp_path / "wandb" / "id.txt", resume=False)
    assert make_run_id(tmp_path / "wandb" / "id.txt", resume=False) != first


def records(folder):
    """The ids of the offline records in a run_dir: offline-run-TIME-ID, and -1 after it in the same second."""
    return [path.name.split("-")[3] for path in sorted(folder.glob("wandb/offline-run-*"))]


def test_a_training_is_recorded_offline_and_resumed_under_one_id(no_key, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    several = ("logger=[csv,tensorboard,wandb]", "callbacks=images", "trainer.max_epochs=1", "model/scheduler=constant")
    run_dir = train_here(tmp_path / "run", *several)
    wandb.teardown()  # as the end of the process does
    train_here(run_dir, *several, "resume=true", "trainer.max_epochs=2")
    wandb.teardown()
    ids = records(run_dir)
    assert len(ids) == 2
    assert set(ids) == {(run_dir / "wandb" / "id.txt").read_text().strip()}
    names = {path.name.split("_")[0] for path in run_dir.glob("wandb/*/files/media/images/*.png")}
    assert names == {"batch", "confusion"}
    first, _ = sorted(run_dir.glob("wandb/offline-run-*/*.wandb"))
    assert f"model-{ids[0]}".encode() in first.read_bytes()  # the artifact
    assert b"best.ckpt" in first.read_bytes()
    assert list(run_dir.glob("tensorboard/events*"))
    assert (run_dir / "metrics.csv").is_file()
