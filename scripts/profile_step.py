"""Where the time of a training epoch goes, for any experiment.

    python -m scripts.profile_step experiment=cifar10 data_dir=PATH [key=value ...] [--quick]

Trains one epoch (--quick: 30 steps) with Lightning's profiler on and prints the share of each part. The last line is
one JSON object; `ratio` is the share of the net's forward, backward and optimizer in the whole loop.
"""

import json
import sys
import tempfile

from hydra.utils import instantiate

from src.core.check import composed


def main(overrides: list[str]) -> None:
    """Compose the experiment, train one epoch, print the shares."""
    from pytorch_lightning.profilers import SimpleProfiler

    quick = ["trainer.limit_train_batches=30"] if "--quick" in overrides else []
    overrides = [override for override in overrides if override != "--quick"]
    with tempfile.TemporaryDirectory() as run_dir:
        fixed = ["trainer.max_epochs=1", "trainer.limit_val_batches=0", "logger=none", "callbacks=none"]
        cfg = composed([*overrides, f"run_dir={run_dir}", *fixed, *quick])
        profiler = SimpleProfiler()
        trainer = instantiate(cfg.trainer, _convert_="all", profiler=profiler, enable_checkpointing=False, logger=False)
        model, datamodule = instantiate(cfg.model, _convert_="all"), instantiate(cfg.datamodule, _convert_="all")
        trainer.fit(model, datamodule)
    shares = shares_of_loop({name: sum(times) for name, times in profiler.recorded_durations.items()})
    for name, share in shares.items():
        print(f"{share:7.1%}  {name}")
    net = shares["forward and loss"] + shares["backward"] + shares["optimizer and schedule"]
    print(json.dumps({"ratio": round(net, 4), **{name: round(share, 4) for name, share in shares.items()}}))


def shares_of_loop(seconds: dict[str, float]) -> dict[str, float]:
    """Shares of the training epoch by part, from Lightning's profile (names of actions -> seconds)."""

    def total(end: str) -> float:
        return sum(value for name, value in seconds.items() if name.endswith(end))

    forward, backward = total("Strategy.training_step"), total("Strategy.backward")
    parts = {
        "forward and loss": forward,
        "backward": backward,
        # The optimizer's step runs forward and backward as its closure.
        "optimizer and schedule": total(".optimizer_step") - forward - backward,
        "next batch (indexing)": total(".train_dataloader_next"),
        "augmentation": total(".on_after_batch_transfer"),
    }
    whole = seconds["run_training_epoch"]
    return {name: value / whole for name, value in (*parts.items(), ("the rest", whole - sum(parts.values())))}


if __name__ == "__main__":
    main(sys.argv[1:])
