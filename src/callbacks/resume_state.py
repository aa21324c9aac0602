"""Saves what Lightning leaves out of a checkpoint; a resumed run then ends like an uninterrupted one."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer, WeightAveraging
from torch import Tensor

from src.callbacks.states_left_over import tell_states_left_over
from src.core.internals import count_logged_step, is_accumulating, restore_scores
from src.core.ranks import gather
from src.core.sharding import is_sharded, placed_like, whole

Kind = TypeVar("Kind")


class ResumeState(Callback):
    """Keeps in the checkpoint, in addition to RandomState and LoaderState:

    - each rank's gradients, if batches are being accumulated;
    - each rank's buffers, such as batch norm's averages, if the weights are divided: only DDP keeps them alike;
    - the latest scores, which ReduceLROnPlateau, early stopping and metrics.json need;
    - whether the training was told to stop, for example by early stopping; forgotten if other limits are given;
    - the state of each logger that has state_dict and load_state_dict.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["resume"] = {
            "gradients": _gradients(trainer, pl_module) if is_accumulating(trainer) else [],
            "buffers": gather(_copies(pl_module.named_buffers())) if is_sharded(trainer) else [],
            "scores": {name: score.cpu().clone() for name, score in trainer.callback_metrics.items()},
            "should_stop": trainer.should_stop,
            "limits": _limits(trainer),
            "loggers": {type(logger).__name__: logger.state_dict() for logger in _stateful_loggers(trainer)},
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._loaded = {}
        if trainer.state.fn != "fit":
            return
        self._loaded = checkpoint.get("resume", {})
        wrong = [name for name, score in self._loaded.get("scores", {}).items() if not isinstance(score, Tensor)]
        if wrong:  # else it would be found at the end of the training
            raise ValueError(f"the checkpoint is damaged: its score {wrong[0]} is not a number")
        tell_states_left_over(trainer, checkpoint)
        if "current_model_state" in checkpoint and not _of_kind(trainer, WeightAveraging):
            raise ValueError(
                "the checkpoint's training averages its weights: keep its callbacks, such as callbacks=ema"
            )
        for stopper in _of_kind(trainer, EarlyStopping):  # which would restore its patience
            checkpoint.get("callbacks", {}).get(stopper.state_key, {})["patience"] = stopper.patience

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not in on_train_start: a run that was already at its end does not reach that hook.
        restore_scores(trainer, self._loaded.get("scores", {}))
        for logger in _stateful_loggers(trainer):
            if type(logger).__name__ in self._loaded.get("loggers", {}):
                logger.load_state_dict(self._loaded["loggers"][type(logger).__name__])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = gather(trainer.global_step)
        if len(set(steps)) > 1:  # each rank has read the file by itself
            raise ValueError(f"the ranks would resume from different checkpoints, after steps {steps}: resume again")
        loaded, self._loaded = self._loaded, {}
        if gradients := loaded.get("gradients"):
            own = gradients[trainer.global_rank] if len(gradients) == trainer.world_size else _mean(gradients)
            for name, parameter in pl_module.named_parameters():
                if name in own:
                    parameter.grad = placed_like(own[name], parameter)
        if len(buffers := loaded.get("buffers", [])) == trainer.world_size:
            for name, buffer in pl_module.named_buffers():
                buffer.copy_(buffers[trainer.global_rank][name])
        loop = trainer.fit_loop
        if loop.resumed_on_epoch_end:  # saved after the epoch's last hooks but before ReduceLROnPlateau's step
            loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        if loaded.get("should_stop") and loaded.get("limits", _limits(trainer)) == _limits(trainer):
            trainer.should_stop = True
            if loop.restarted_mid_epoch:  # stopping would have ended the epoch
                loop.epoch_progress.increment_processed()
                loop.epoch_progress.increment_completed()
                count_logged_step(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning skips ReduceLROnPlateau at the end of a resumed epoch because it has no scores; here it has.
        trainer.fit_loop.restarting = False


def _gradients(trainer: Trainer, module: LightningModule) -> list[dict[str, Tensor]]:
    """Each rank's gradients; if the weights are divided, once those of all ranks, which are summed batch by batch."""
    own = _copies((name, whole(p.grad)) for name, p in module.named_parameters() if p.grad is not None)
    return [own] if is_sharded(trainer) else gather(own)


def _copies(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor.cpu().clone() for name, tensor in named}


def _mean(ranks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What DDP makes of the ranks' gradients; any number of ranks that begins with it goes on from the same sum."""
    names = {name for rank in ranks for name in rank}
    return {name: sum(rank[name] for rank in ranks if name in rank) / len(ranks) for name in names}  # pyright: ignore


def _of_kind(trainer: Any, kind: type[Kind]) -> list[Kind]:
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]


def _limits(trainer: Any) -> dict[str, int]:
    """What tells a training to stop: the patience of early stopping, the seconds of max_time, and max_steps."""
    seconds = [timer.time_elapsed() + (timer.time_remaining() or 0) for timer in _of_kind(trainer, Timer)]
    patience = {stopper.state_key: stopper.patience for stopper in _of_kind(trainer, EarlyStopping)}
    steps = {"max_steps": trainer.max_steps} if trainer.max_steps != -1 else {}
    return {**patience, "max_time": round(sum(seconds)), **steps}


def _stateful_loggers(trainer: Trainer) -> list[Any]:
    return [logger for logger in trainer.loggers if hasattr(logger, "state_dict")]
