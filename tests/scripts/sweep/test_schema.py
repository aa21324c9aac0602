"""W&B's own package accepts the sweep files and draws from them: `make test-sweeps`, as it needs numpy 1."""

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.filterwarnings("ignore")
sweeps = pytest.importorskip("sweeps", reason="W&B's sweeps needs numpy 1, an environment of its own: make test-sweeps")

FILES = sorted((Path(__file__).resolve().parents[3] / "conf" / "sweep").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sweep_file_fits_the_schema(path):
    assert sweeps.schema_violations_from_proposed_config(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_first_trial_is_drawn(path):
    config = yaml.safe_load(path.read_text())
    assert set(sweeps.next_run(config, []).config) == set(config["parameters"])
