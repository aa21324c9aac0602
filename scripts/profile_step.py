"""Shows where the time of a training epoch goes, for any experiment.

    python -m scripts.profile_step experiment=cifar10 data_dir=PATH [key=value ...] [--quick]

Trains one epoch (--quick: 30 steps) with Lightning's profiler and shows the share of each part. The last line is one
JSON object; `ratio` is the share of the net's forward, backward and optimizer in the whole loop.
"""

import json
import tempfile
from collections.abc import Sequence

from hydra.utils import instantiate
from pytorch_lightning.profilers import SimpleProfiler

from scripts.shared.arguments import command_line
from src.core.check import check, composed
from src.core.explain import readable_errors
from src.core.output import show

FIXED = ["trainer.max_epochs=1", "trainer.limit_val_batches=0", "logger=none", "callbacks=none"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compose the experiment, train one epoch, show the shares."""
    parser = command_line("profile_step", __doc__)
    parser.add_argument("overrides", nargs="*", help="experiment=NAME and key=value, as for train.py")
    parser.add_argument("--quick", action="store_true", help="30 steps")
    args = parser.parse_intermixed_args(arguments)
    quick = ["trainer.limit_train_batches=30"] if args.quick else []
    profiler = SimpleProfiler()
    with readable_errors("train"), tempfile.TemporaryDirectory() as run_dir:
        cfg = composed([*args.overrides, f"run_dir={run_dir}", *FIXED, *quick])
        check(cfg)
        trainer = instantiate(cfg.trainer, _convert_="all", profiler=profiler, enable_checkpointing=False, logger=False)
        trainer.fit(instantiate(cfg.model, _convert_="all"), instantiate(cfg.datamodule, _convert_="all"))
    shares = shares_of_loop({name: sum(times) for name, times in profiler.recorded_durations.items()})
    for name, share in shares.items():
        show(f"{share:7.1%}  {name}")
    net = shares["forward and loss"] + shares["backward"] + shares["optimizer and schedule"]
    show(json.dumps({"ratio": round(net, 4), **{name: round(share, 4) for name, share in shares.items()}}))


def shares_of_loop(seconds: dict[str, float]) -> dict[str, float]:
    """Divide the training epoch into parts, by the names of actions in Lightning's profile."""

    def total(end: str) -> float:
        return sum(value for name, value in seconds.items() if name.endswith(end))

    forward, backward = total("Strategy.training_step"), total("Strategy.backward")
    parts = {
        "forward and loss": forward,
        "backward": backward,
        # The optimizer's step runs forward and backward in its closure.
        "optimizer and schedule": total(".optimizer_step") - forward - backward,
        "next batch (indexing)": total(".train_dataloader_next"),
        "augmentation": total(".on_after_batch_transfer"),
    }
    whole = seconds["run_training_epoch"]
    return {name: value / whole for name, value in (*parts.items(), ("the rest", whole - sum(parts.values())))}


if __name__ == "__main__":
    main()
