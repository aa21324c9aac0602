"""Names the states of callbacks and data that do not find their place when a run is resumed."""

from typing import Any

from src.core.output import note


def tell_states_left_over(trainer: Any, checkpoint: dict[str, Any]) -> None:
    """Name the states in a checkpoint that no callback takes, and the callbacks and data that find none.

    Lightning knows a state by the class's name and some arguments: a callback that has another name loses its own.
    """
    saved, here = checkpoint.get("callbacks", {}), {callback.state_key: callback for callback in trainer.callbacks}
    lost = [key for key in saved if key not in here]
    # All ranks ask, since to make a state may need all of them.
    anew = [key for key, callback in here.items() if key not in saved and callback.state_dict()]
    data = trainer.datamodule
    if data is not None and type(data).__qualname__ not in checkpoint and data.state_dict():
        anew.append(type(data).__qualname__)
    if trainer.is_global_zero and lost:
        note(f"the checkpoint has a state that nothing here takes: {_classes(lost)}; what it counted is lost")
    if trainer.is_global_zero and anew:
        note(f"the checkpoint has no state for {_classes(anew)}, which begins as in a new run")


def _classes(keys: list[str]) -> str:
    return ", ".join(dict.fromkeys(key.partition("{")[0] for key in keys))
