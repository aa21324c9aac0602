"""Whether a checkpoint fits the data, the schedule and the net of the training or test that reads it."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


def check_spec(saved: Mapping[str, Any], here: Mapping[str, Any], statistics: Iterable[str]) -> None:
    """Refuse data that tell the net something else than the checkpoint's did, except for `statistics`."""
    compared = sorted({*saved, *here} - set(statistics))
    pairs = {name: (saved.get(name), here.get(name)) for name in compared}
    differing = [f"{n}: {_short(a)} there, {_short(b)} here" for n, (a, b) in pairs.items() if not _agree(a, b)]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(
            f"the checkpoint was trained on other data ({'; '.join(differing[:3])}{more}); choose its datamodule"
        )


def _agree(saved: Any, here: Any) -> bool:
    """Whether they are equal, leaving out entries of dicts that only `here` has: older versions wrote fewer."""
    if isinstance(saved, Mapping) and isinstance(here, Mapping):
        return all(name in here and _agree(value, here[name]) for name, value in saved.items())
    return bool(saved == here)


def check_schedule(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a schedule that stands at another step than the training: all later rates would be wrong."""
    steps, length = checkpoint.get("global_step"), checkpoint.get("schedule_steps")
    for state in checkpoint.get("lr_schedulers", []) if length is not None else []:
        if state.get("last_epoch") != steps or state.get("total_steps", length) != length:
            raise ValueError(
                f"the checkpoint's counts differ: {steps} steps were trained of {length}, its schedule stands at "
                f"{state.get('last_epoch')} of {state.get('total_steps', length)}; resume from another checkpoint"
            )


def check_weights(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names or shapes than the model's own."""
    wrong = [name for name in own if name not in saved or own[name].shape != saved[name].shape]
    wrong += [name for name in saved if name not in own]
    if wrong:
        raise ValueError(
            f"the checkpoint holds another net: {len(wrong)} weights differ, such as {wrong[0]}; choose its model"
        )


def _short(value: Any) -> str:
    """Return a value as text of at most 60 characters; a thousand class names do not fit in a message."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
