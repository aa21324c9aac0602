import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from src.core.checksums import damage_of
from src.training.checkpoint_io import CheckpointIO, read_checkpoint
from src.training.foreign import keep_paths_inside
from tests.support.tiny import TinyImages, classifier, trainer

NAMES = ("best_model_path", "kth_best_model_path", "last_model_path")


@pytest.fixture
def folder(tmp_path):
    """run/checkpoints with best.ckpt and last.ckpt, and a file and a folder outside of the run."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for path in (folder / "best.ckpt", folder / "last.ckpt", tmp_path / "precious.ckpt"):
        path.touch()
    (tmp_path / "precious").mkdir()
    return folder


def state_of(folder, **changes):
    best = str(folder / "best.ckpt")
    paths = dict.fromkeys(NAMES, best) | {"dirpath": str(folder), "best_k_models": {best: 0.5}}
    return paths | {"best_model_score": 0.5} | changes


def kept(folder, state):
    keep_paths_inside({"callbacks": {"ModelCheckpoint": state}}, folder / "last.ckpt")
    return state


def test_paths_beside_the_checkpoint_stay(folder):
    assert kept(folder, state_of(folder)) == state_of(folder)


def test_paths_of_a_run_that_has_moved_follow(folder):
    assert kept(folder, state_of(folder.parent.parent / "before" / "checkpoints")) == state_of(folder)


def test_checkpoints_in_folders_below_stay(folder):
    (folder / "epoch=1").mkdir()
    path = folder / "epoch=1" / "a.ckpt"
    path.touch()
    state = state_of(folder, best_model_path=str(path))
    keep_paths_inside({"callbacks": {"ModelCheckpoint": state}}, path)
    assert state["best_model_path"] == str(path)


def test_a_state_whose_best_checkpoint_is_gone_forgets_its_paths(folder):
    (folder / "best.ckpt").unlink()
    state = kept(folder, state_of(folder))
    assert (state["dirpath"], state["best_model_path"]) == ("", "")


@pytest.mark.parametrize("name", [*NAMES, "best_k_models"])
@pytest.mark.parametrize(
    "path",
    ["{run}/../precious.ckpt", "{folder}/../../precious", "{folder}/../../precious.ckpt", "/etc", "{folder}", "x", 3],
)
def test_a_path_elsewhere_is_refused(folder, name, path):
    path = path.format(folder=folder, run=folder.parent) if isinstance(path, str) else path
    state = state_of(folder, **{name: {path: 0.5} if name == "best_k_models" else path})
    with pytest.raises(ValueError, match=r"last.ckpt names the checkpoint .*, which none can be: it is not used"):
        kept(folder, state)


@pytest.mark.parametrize("dirpath", ["{run}/..", "/", None, 3])
def test_another_home_does_not_lead_elsewhere(folder, dirpath):
    dirpath = dirpath.format(run=folder.parent) if isinstance(dirpath, str) else dirpath
    state = state_of(folder, dirpath=dirpath, best_model_path=f"{folder.parent}/../precious.ckpt")
    with pytest.raises(ValueError, match=r"which none can be"):
        kept(folder, state)


@pytest.mark.parametrize("name", [*NAMES, "best_k_models"])
def test_a_checkpoint_of_another_run_is_forgotten(folder, name):
    path = str(folder.parent.parent / "precious.ckpt")
    found = kept(folder, state_of(folder, **{name: {path: 0.5} if name == "best_k_models" else path}))
    assert found == state_of(folder, **{name: {} if name == "best_k_models" else ""})


def test_a_link_that_leads_elsewhere_is_refused(folder):
    (folder / "link.ckpt").symlink_to(folder.parent.parent / "precious.ckpt")
    with pytest.raises(ValueError, match=r"link.ckpt., a link to elsewhere"):
        kept(folder, state_of(folder, best_model_path=str(folder / "link.ckpt")))


def test_a_resumed_training_deletes_nothing_outside_of_its_run(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    trainer(1, ModelCheckpoint(folder, filename="a"), enable_checkpointing=True).fit(classifier(), TinyImages())
    (tmp_path / "precious").mkdir()
    checkpoint = torch.load(folder / "a.ckpt", weights_only=True)
    (state,) = checkpoint["callbacks"].values()
    state["best_model_path"] = str(folder / ".." / ".." / "precious")
    torch.save(checkpoint, folder / "a.ckpt")
    run = trainer(2, ModelCheckpoint(folder, filename="b"), enable_checkpointing=True)
    with pytest.raises(ValueError, match=r"a.ckpt names the checkpoint .*precious', which none can be"):
        run.fit(classifier(), TinyImages(), ckpt_path=folder / "a.ckpt", weights_only=True)
    assert (tmp_path / "precious").is_dir()


def test_folders_are_not_removed_as_checkpoints_are(tmp_path):
    (tmp_path / "a.ckpt").mkdir()
    CheckpointIO("stop").remove_checkpoint(tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").is_dir()


@pytest.mark.parametrize("endless", [False, True])
def test_a_config_that_repeats_its_parts_within_its_parts_is_refused(tmp_path, endless):
    node = [1]
    if endless:
        node.append(node)
    for _ in range(40):
        node = [node, node]
    torch.save({"hyper_parameters": {"model": {"net": node}, "spec": {}}}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a.ckpt has a model's config of more than 10,000 values or 50 levels"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_file_whose_records_unpack_to_more_than_it_has_is_damaged(tmp_path):
    import zipfile

    torch.save({"state_dict": {"a": torch.zeros(100_000)}}, tmp_path / "a.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "a.ckpt") as plain,
        zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert damage_of(tmp_path / "b.ckpt") == "its records claim more bytes than the file has"
