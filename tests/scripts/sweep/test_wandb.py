"""W&B's own agent starts a run of train.py for a trial; without an account `make sweep` says what to do."""

import csv
import os
import sys
from pathlib import Path

import pytest
import yaml
from wandb.wandb_agent import Agent

from scripts import wandb_sweep
from scripts.wandb_sweep import main
from tests.support.programs import ENVIRONMENT, ROOT


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """An agent without a server, of a sweep file's command, in a folder of its own."""
    for name, value in {**ENVIRONMENT, "WANDB_SWEEP_ID": "abc123", "WANDB_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_RUN_ID", "")  # the agent sets it; monkeypatch takes it away again
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    agent = Agent(api=None, queue=None)
    agent._sweep_command = yaml.safe_load((ROOT / "conf" / "sweep" / "images_grid.yaml").read_text())["command"]
    return agent


@pytest.mark.long
def test_the_command_of_w_and_b_s_agent_trains_with_the_chosen_values(agent, tmp_path):
    chosen = {
        "model.lr": 1e-05,
        "model.net.widths": [5],
        "datamodule.augmentation.flip": True,
        "trainer.gradient_clip_val": "null",
        "trainer.max_epochs": 1,
        "callbacks": "default",
        "trainer.accelerator": "cpu",
        "run_dir": f"{tmp_path}/run",
    }
    arguments = {name: {"value": value} for name, value in chosen.items()}
    agent._command_run({"run_id": "run1", "program": str(ROOT / "train.py"), "args": arguments})
    process = agent._run_processes["run1"]
    assert process.wait() == 0

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["model"]["lr"] == 1e-05
    assert config["model"]["net"]["widths"] == [5]
    assert config["datamodule"]["augmentation"]["flip"] is True
    assert config["trainer"]["gradient_clip_val"] is None
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert "val/accuracy" in next(csv.reader(file))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-run1.wandb"))


def test_a_file_without_a_project_is_one_line(tmp_path, monkeypatch, capsys):
    config = yaml.safe_load((ROOT / "conf" / "sweep" / "images_grid.yaml").read_text())
    del config["project"]
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "grid.yaml")])
    message = f"error: {tmp_path}/grid.yaml must name W&B's project, got none: add project: fastlight\n"
    assert capsys.readouterr().err == message


def test_without_an_account_the_way_out_is_named(tmp_path, monkeypatch, capsys):
    for name, value in {
        "HOME": str(tmp_path),
        "WANDB_API_KEY": "",
        "WANDB_IDENTITY_TOKEN_FILE": "",
        "NETRC": "",
    }.items():
        monkeypatch.setenv(name, value)
    path = str(ROOT / "conf" / "sweep" / "images_grid.yaml")
    with pytest.raises(SystemExit, match="1"):
        main([path])
    message = f"error: W&B's sweeps need an account: wandb login; without: python -m scripts.sweep {path}\n"
    assert capsys.readouterr().err == message


def test_a_registered_sweep_gets_an_agent(monkeypatch, capsys):
    started = []
    monkeypatch.setattr(wandb_sweep, "is_logged_in", lambda: True)
    monkeypatch.setattr(wandb_sweep.wandb, "sweep", lambda config: "abc123")
    monkeypatch.setattr(wandb_sweep.os, "execvp", lambda program, command: started.append(command))
    main([str(ROOT / "conf" / "sweep" / "images_grid.yaml"), "--count", "3"])
    assert started == [["wandb", "agent", "--count", "3", "fastlight/abc123"]]
    assert capsys.readouterr().out.startswith("more agents: wandb agent fastlight/abc123 ")
