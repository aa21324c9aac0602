import pytest
import torch

from src.callbacks.lr_finder.held_out import held_out_batch, held_out_loss
from tests.support.programs import same
from tests.support.searched import Slope, at_start, attributes, numbers

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Held(Slope):
    """Ten times the loss in training mode; adds 100 to each batch that it trains on; counts."""

    def __init__(self):
        super().__init__()
        self.part, self.count = torch.nn.Dropout(0.5), 0

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return [batch[0] + 100] if self.trainer.training else batch

    def training_step(self, batch, batch_idx):
        self.count += 1
        return super().training_step(batch, batch_idx) * (10 if self.part.training else 1)

    def validation_step(self, batch, batch_idx):
        pass


def held_out(trainer):
    return held_out_loss(trainer, held_out_batch(trainer))


def test_the_held_out_batch_is_the_first_of_validation_without_augmentation():
    assert at_start(held_out_batch, numbers(1.0), numbers(4.0, 5.0), model=Held())[0].tolist() == [4]


def test_the_held_out_loss_is_that_in_evaluation_mode():
    assert at_start(held_out, numbers(1.0), numbers(4.0, 5.0), model=Held()) == 40


def test_the_held_out_loss_leaves_no_trace():
    def before_and_after(trainer):
        model = trainer.lightning_module
        pages = []
        for _ in range(2):
            pages.append([attributes(module) for module in model.modules()] + [model.weight.grad, trainer.training])
            held_out(trainer)
        return pages

    before, after = at_start(before_and_after, numbers(1.0), numbers(4.0), model=Held())
    assert before[-1]
    assert same(before, after)


def test_without_a_validation_loader_there_is_no_held_out_batch():
    with pytest.raises(ValueError, match=r"lr_finder\.on=valid needs a validation loader, and this training has none"):
        at_start(held_out_batch, numbers(1.0))
