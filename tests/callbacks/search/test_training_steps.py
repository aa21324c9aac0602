from contextlib import closing

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler, TensorDataset

from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import (
    TrainingBatches,
    copied_loader,
    training_steps,
)
from tests.support.searched import Slope, at_start, numbers, take

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


def steps(count, before_step=lambda optimizer: None, then=lambda trainer: None):
    """A function that takes steps and undoes them; returns the losses, or what `then` returns before that."""

    def search(trainer):
        batches = TrainingBatches(trainer)
        with closing(batches), undone(trainer):
            losses = take(count, trainer, batches, before_step)
            return then(trainer) or losses

    return search


def set_lr(rate):
    def before_step(optimizer):
        optimizer.param_groups[0]["lr"] = rate

    return before_step


def test_the_loss_is_that_before_the_step():
    assert at_start(steps(3), numbers(1.0, 1.0, 1.0)) == [10, 9, 8]


def test_the_rate_set_before_a_step_is_the_one_it_takes():
    assert at_start(steps(3, set_lr(0.5)), numbers(1.0, 1.0, 1.0)) == [10, 9.5, 9]


def test_the_loss_of_accumulated_batches_is_their_mean():
    # (10 + 30) / 2; the step lowers the weight by (1 + 3) / 2
    assert at_start(steps(2), numbers(1.0, 3.0, 1.0, 1.0), accumulate_grad_batches=2) == [20, 8]


def test_a_last_group_of_fewer_batches_is_a_step_with_its_own_mean():
    # 8 x 5; Lightning halves that batch's gradient, too: 8 - 5 / 2, and anew (1 + 3) / 2
    losses = at_start(steps(3), numbers(1.0, 3.0, 5.0), accumulate_grad_batches=2)
    assert losses == pytest.approx([20, 40, 5.5 * 2])


def test_a_loader_that_ends_begins_anew():
    assert at_start(steps(5), numbers(1.0, 2.0)) == [10, 18, 7, 12, 4]


@pytest.mark.parametrize(("count", "epochs"), [(2, 1), (3, 2), (5, 3)])
def test_each_epoch_of_the_search_is_told_to_the_module(count, epochs):
    assert at_start(steps(count, then=lambda trainer: trainer.lightning_module.epochs), numbers(1.0, 2.0)) == epochs


def test_a_second_search_goes_on_with_the_batches_that_come_next():
    def two_searches(trainer):
        batches, losses = TrainingBatches(trainer), []
        with closing(batches):
            for _ in range(2):
                with undone(trainer):
                    losses += take(2, trainer, batches, set_lr(0.0))
        return losses

    assert at_start(two_searches, numbers(1.0, 2.0, 3.0, 4.0)) == [10, 20, 30, 40]


def test_a_sampler_is_told_the_epoch_of_the_search():
    class ByEpoch(Sampler):
        epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter([self.epoch])

        def __len__(self):
            return 1

    loader = DataLoader(TensorDataset(torch.tensor([1.0, 2.0, 3.0])), sampler=ByEpoch())
    assert at_start(steps(3, set_lr(0.0)), loader) == [10, 20, 30]


def test_a_loader_without_length_begins_anew_where_it_ends():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([torch.tensor([1.0]), torch.tensor([2.0])])

    class OfOne(Slope):
        def training_step(self, batch, batch_idx):
            return super().training_step([batch], batch_idx)

    assert at_start(steps(4), DataLoader(Stream(), batch_size=None), model=OfOne()) == [10, 18, 7, 12]


def test_an_epoch_that_the_module_breaks_off_begins_anew():
    class BreakingOff(Slope):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 1 else None

    assert at_start(steps(3), numbers(1.0, 2.0), model=BreakingOff()) == [10, 9, 8]


@pytest.mark.filterwarnings("ignore:.*training_step.* returned .None.")
def test_a_batch_that_training_step_leaves_out_is_no_step():
    class LeavingOut(Slope):
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    assert at_start(steps(3), numbers(1.0, 2.0, 3.0), model=LeavingOut()) == [10, 27, 6]


@pytest.mark.filterwarnings("ignore:.*training_step.* returned .None.")
def test_a_training_step_without_a_loss_is_an_error():
    class Silent(Slope):
        def training_step(self, batch, batch_idx):
            return None

    with pytest.raises(ValueError, match="lr_finder needs the loss: let training_step return it"):
        at_start(steps(1), numbers(1.0, 1.0), model=Silent())


def test_an_epoch_without_a_step_is_an_error():
    class Lazy(Slope):
        automatic_optimization = False

    with pytest.raises(ValueError, match="an epoch makes no optimizer step"):
        at_start(steps(1), numbers(1.0, 1.0), model=Lazy())


class Manual(Slope):
    """Two optimizers, each of which steps once a batch."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.other = torch.nn.Parameter(torch.tensor(1.0))

    def training_step(self, batch, batch_idx):
        for optimizer, weight in zip(self.optimizers(), (self.weight, self.other), strict=True):
            optimizer.zero_grad()
            self.manual_backward(weight * batch[0].mean())
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD([weight], lr=1.0) for weight in (self.weight, self.other)]


def test_with_manual_optimization_the_loss_is_the_sum_of_what_goes_backward():
    assert at_start(steps(2), numbers(1.0, 1.0), model=Manual()) == [10 + 1, 9 + 0]


def test_with_manual_optimization_a_loss_that_training_step_returns_comes_first():
    class Returning(Manual):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            return {"loss": torch.tensor(0.25)}

    assert at_start(steps(2), numbers(1.0, 1.0), model=Returning()) == [0.25, 0.25]


def test_with_manual_optimization_the_rate_moves():
    assert at_start(steps(2, set_lr(0.5)), numbers(1.0, 1.0), model=Manual()) == [10 + 1, 9.5 + 0.5]


def test_a_copied_loader_yields_what_the_loader_is_about_to_yield():
    loader = DataLoader(torch.arange(7), shuffle=True, generator=torch.Generator().manual_seed(0))
    assert list(copied_loader(loader)) == list(loader)


def test_a_copied_loader_shares_the_data():
    loader = numbers(1.0, 2.0)
    assert copied_loader(loader).tensors[0] is loader.tensors[0]


def test_a_copied_loader_shares_the_data_set():
    loader = DataLoader([1, 2, 3])
    assert copied_loader(loader).dataset is loader.dataset


def test_a_generator_of_batches_is_an_error():
    batches = ([torch.ones(1)] for _ in range(3))
    with pytest.raises(TypeError, match=r"the training loader, a generator, cannot be copied.* give a DataLoader"):
        at_start(steps(1), batches)


def test_a_search_may_bring_its_own_loaders_and_sees_all_they_have():
    def search(trainer):
        with closing(TrainingBatches(trainer, [numbers(3.0, 2.0)])) as batches, undone(trainer):
            return take(4, trainer, batches, set_lr(0.0))

    assert at_start(search, numbers(1.0, 1.0), limit_train_batches=1) == [30, 20, 30, 20]


def test_callbacks_of_a_search_see_each_batch_and_each_step():
    class Seeing(pl.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen.append(batch[0].item())

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            self.seen.append("step")

    def search(trainer):
        batches, seeing = TrainingBatches(trainer), Seeing()
        with closing(batches), undone(trainer), closing(training_steps(trainer, batches, callbacks=[seeing])) as steps:
            next(steps)
        return seeing.seen

    assert at_start(search, numbers(1.0, 3.0), accumulate_grad_batches=2) == [1.0, 3.0, "step"]
