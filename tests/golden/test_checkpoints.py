"""Checkpoints of older versions load, answer and go on as they did; `scripts.make_golden --release` adds to them."""

import json
import shutil

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from torch.testing import assert_close

from scripts.make_golden.answers import answer
from scripts.make_golden.cases import CASES, GOLDEN, overrides
from scripts.make_golden.recording import losses_of, machine
from src.core.check import check
from src.core.run_config import in_newest_format
from src.training.checkpoint import load_model
from tests.support.programs import ROOT, composed, program, run_here

FILES = [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in sorted(GOLDEN.glob("format_*/*.ckpt"))]
each_file = pytest.mark.parametrize("path", FILES)
# Other kernels and processors add up in another order: see test_losses.py.
ELSEWHERE = 1e-4


def expected(path):
    return json.loads(path.with_suffix(".json").read_text())


@each_file
def test_a_golden_checkpoint_answers_as_it_did(path):
    recorded = expected(path)
    found = answer(load_model(path), recorded["inputs"])
    tolerance = 1e-6 if recorded["machine"] == machine() else ELSEWHERE
    for row, recorded_row in zip(found, recorded["outputs"], strict=True):
        assert_close(row, recorded_row, rtol=tolerance, atol=tolerance)


@each_file
def test_a_golden_checkpoint_goes_on_as_it_did(path, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(path, tmp_path / "run" / "checkpoints" / "last.ckpt")
    places = [f"run_dir={tmp_path}/run", f"cache_dir={tmp_path}/cache"]
    run_here(composed(*overrides(path.stem), *places, "resume=true"))
    found = {name: values[-1] for name, values in losses_of(tmp_path / "run").items()}
    recorded = expected(path)
    tolerance = 1e-6 if recorded["machine"] == machine() else ELSEWHERE
    assert found == pytest.approx(recorded["resumed"], rel=tolerance)


@each_file
def test_the_config_of_a_golden_run_repeats_it(path):
    config = OmegaConf.load(path.with_suffix(".yaml"))
    assert isinstance(config, DictConfig)
    del config["defaults"], config["hydra"]
    check(in_newest_format(config))


@pytest.mark.long
def test_an_older_run_is_repeated_by_its_config(tmp_path):
    folder = GOLDEN / "format_1"
    places = [f"run_dir={tmp_path}/run", f"cache_dir={tmp_path}/cache"]
    done = program("train.py", f"--config-path={folder}", "--config-name=mlp", *places, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    recorded = json.loads((GOLDEN / "losses" / "mlp.json").read_text())
    assert losses_of(tmp_path / "run")["train/loss"] == pytest.approx(recorded["train/loss"], rel=ELSEWHERE)


def test_every_net_of_conf_has_a_golden_checkpoint():
    nets = {yaml.safe_load(path.read_text()).get("_target_") for path in (ROOT / "conf/model/net").glob("*.yaml")}
    saved = [yaml.safe_load(path.read_text()) for path in GOLDEN.glob("format_*/*.yaml")]
    # A file that builds on another; not ours; a net of 13 MB, where all golden files together have 1 MB.
    others = {None, "src.models.images.timm_net.TimmNet", "src.models.images.efficientnet_lite.EfficientNetLite"}
    # Newer than format 1; the release that makes format 2 makes theirs.
    others |= {"src.models.images.air_net.AirNet", "src.models.tables.dot_product.DotProduct"}
    assert nets - others <= {config["model"]["net"]["_target_"] for config in saved}, "add a case for it"


def test_every_case_has_a_golden_checkpoint():
    assert set(CASES) == {path.stem for path in GOLDEN.glob("format_*/*.ckpt")}


def test_golden_files_are_small_and_name_no_folder_of_a_machine():
    files = [path for path in GOLDEN.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 2e6
    assert [path for path in files if path.suffix != ".py" and b"/tmp" in path.read_bytes()] == []
