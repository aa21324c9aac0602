from functools import partial

import pytest

from src.models.schedules import flat_cosine
from src.training.length import fitting_epochs
from src.training.trainer import Trainer
from tests.support import tiny_table

SCHEDULE = partial(flat_cosine, warmup_fraction=0.0, flat_fraction=0.5, final_ratio=0.1)


@pytest.mark.parametrize(
    ("steps", "epochs"), [(1, 256), (5, 240), (74, 17), (75, 16), (10_000, 16)], ids=lambda number: f"{number:,}"
)
def test_few_steps_an_epoch_make_more_epochs(steps, epochs):
    assert fitting_epochs(steps) == epochs


def fitted(monkeypatch, **choices):
    """A trainer after a fit whose length is chosen for 30 steps in all."""
    monkeypatch.setattr("src.training.length.STEPS", 30)
    monkeypatch.setattr("src.training.length.EPOCHS", 2)
    trainer = Trainer(precision="32-true", accelerator="cpu", logger=False, enable_checkpointing=False, **choices)
    trainer.fit(tiny_table.tabular_model(scheduler=SCHEDULE), tiny_table.TinyTable())
    return trainer


@pytest.mark.filterwarnings("error:The number of training batches")
def test_the_schedule_ends_with_the_epochs_that_are_chosen(monkeypatch, capsys):
    trainer = fitted(monkeypatch, accumulate_grad_batches=2)
    steps = -(-trainer.num_training_batches // 2)
    assert trainer.max_epochs == fitting_epochs(steps) == trainer.current_epoch
    assert trainer.global_step == steps * trainer.max_epochs == trainer.lightning_module.schedule_steps
    assert f"{trainer.max_epochs} epochs of {steps} steps" in capsys.readouterr().out


@pytest.mark.parametrize("choice", [{"max_epochs": 1}, {"max_steps": 3}], ids=lambda choice: next(iter(choice)))
def test_a_length_that_is_given_stands(monkeypatch, capsys, choice):
    trainer = fitted(monkeypatch, **choice)
    assert {"max_epochs": trainer.current_epoch, "max_steps": trainer.global_step}.items() >= choice.items()
    assert "to fit" not in capsys.readouterr().out
