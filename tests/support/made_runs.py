"""Invents folders of runs, for tests of comparisons."""

import json

import yaml

from src.core.migrations import FORMAT_KEY, newest_format
from src.report.compare.run import runs_in
from src.report.compare.settings import compare

LOGGED = "step,epoch,train/loss,val/accuracy,val/loss\n9,0,2.0,,\n9,0,,0.5,1.5\n19,1,1.0,,\n19,1,,0.75,1.25\n"


def made(folder, score=0.5, *, lr=0.1, seed=0, monitor="val/accuracy", mode="max", net=None, **others):
    """The folder of an invented run; without metrics.json if the score is "none"."""
    folder.mkdir(parents=True)
    config = {
        "seed": seed,
        "run_dir": str(folder),
        "scoring": {"monitor": monitor, "mode": mode, "unit": "samples"},
        "datamodule": {"seed": seed, "_target_": "src.datamodules.images.digits.Digits"},
        "model": {"lr": lr, "net": net or {"_target_": "nets.Cnn", "widths": [4, 8]}},
        "logger": {"name": str(folder)},
        "print_config": seed == 1,
        FORMAT_KEY: newest_format(),
        **others,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.json").write_text(json.dumps([f"model.lr={lr}", f"seed={seed}"]))
    (folder / "metrics.csv").write_text(LOGGED)
    if score != "none":
        metrics = {monitor: score, "test/accuracy": 0.25, "time/fit_s": 2.0 + seed, "train/samples_per_second": 10.0}
        (folder / "metrics.json").write_text(json.dumps({**metrics, "memory/peak_mb": 100.0}))
    return folder


def compared(*folders):
    return compare(runs_in(map(str, folders)))


def over(tmp_path, scores, **others):
    """The comparison of runs with these scores: of each lr a list, one for each seed."""
    for lr, found in scores.items():
        for seed, score in enumerate(found):
            made(tmp_path / f"{lr}-{seed}", score, lr=lr, seed=seed, **others)
    return compared(tmp_path)
