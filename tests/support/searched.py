"""Small trainings of all kinds, a search without rules, and all that a search might leave a trace in."""

import random
from contextlib import closing

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, training_steps
from src.datamodules.loader import BatchLoader
from tests.support.tiny import TinyImages, classifier, trainer


class Searching(pl.Callback):
    """Takes and undoes training steps at the start of epochs; keeps what was there before, within and after."""

    def __init__(self, *, epochs=(1,), steps=5):
        self.epochs, self.steps = epochs, steps

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch not in self.epochs:
            return
        self.before = seen(trainer, pl_module)
        batches = TrainingBatches(trainer)
        with closing(batches), undone(trainer):
            self.losses = take(self.steps, trainer, batches)
            self.within = seen(trainer, pl_module)
        self.after = seen(trainer, pl_module)


def take(count, trainer, batches, before_step=lambda optimizer: None):
    """The losses of that many training steps."""
    with closing(training_steps(trainer, batches, before_step)) as steps:
        return [next(steps) for _ in range(count)]


def seen(trainer, model):
    """A copy of all that a training consists of, by part."""
    named = dict(model.named_modules())
    return {
        "weights": plain(dict(model.named_parameters())),
        "buffers": plain(dict(model.named_buffers())),
        "gradients": plain({name: weight.grad for name, weight in model.named_parameters()}),
        "requires_grad": {name: weight.requires_grad for name, weight in model.named_parameters()},
        "modes": {name: module.training for name, module in named.items()},
        "attributes": {name: attributes(module) for name, module in named.items()},
        "optimizers": plain([optimizer.state_dict() for optimizer in trainer.optimizers]),
        "schedulers": plain([config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]),
        "scaler": plain(trainer.precision_plugin.state_dict()),
        "progress": plain(trainer._checkpoint_connector._get_loops_state_dict()),
        "global_step": trainer.global_step,
        "callback_metrics": scores(trainer.callback_metrics),
        "logged_metrics": scores(trainer.logged_metrics),
        "should_stop": trainer.should_stop,
        "python's random": random.getstate(),
        "numpy's random": [part if isinstance(part, int | float | str) else part.tolist() for part in np_state()],
        "torch's random": torch.get_rng_state(),
    }


def np_state():
    return np.random.get_state()


def attributes(module):
    return {name: plain(value) for name, value in vars(module).items() if not name.startswith("_")}


def scores(metrics):
    return {name: plain(value) for name, value in metrics.items() if name not in ("lr/suggested", "time/lr_finder_s")}


def plain(value):
    """A copy that later changes leave as it is, and that `same` compares by value."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value if isinstance(value, int | float | str | None) else type(value).__name__


class Story(pl.Callback):
    """What was there before each training batch, and at the end."""

    def __init__(self):
        self.pages = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.pages.append({"batch": plain(batch)} | seen(trainer, pl_module))

    def on_train_end(self, trainer, pl_module):
        self.pages.append(seen(trainer, pl_module))


def images():
    return classifier(), {"datamodule": TinyImages()}


class Stranger(pl.LightningModule):
    """As in Lightning's introduction: no lr of its own, a schedule by steps, a metric object that is logged."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 7), nn.BatchNorm1d(7), nn.Dropout(0.2), nn.ReLU(), nn.Linear(7, 2))
        self.mean_loss = MeanMetric()

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.mean_loss(loss)
        self.log("mean_loss", self.mean_loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def points(rows=24):
    """(rows, 3) and whether the first coordinate is positive."""
    inputs = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, 0] > 0).long()


def stranger():
    return Stranger(), {"train_dataloaders": DataLoader(TensorDataset(*points()), batch_size=8, shuffle=True)}


class Untidy(pl.LightningModule):
    """Changes all that it can reach in each training step."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.3))
        self.head = nn.Linear(5, 2)
        self.average = AveragedModel(self.head, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.register_buffer("replaced", torch.zeros(2))
        self.mean_loss = MeanMetric()
        self.hidden = self.pair = None
        self.count, self.losses, self.by_name = 0, [], {"steps": [0]}
        self.numpy_generator = np.random.default_rng(1)
        self.python_generator = random.Random(1)
        self.torch_generator = torch.Generator().manual_seed(1)

    def training_step(self, batch, batch_idx):
        self.count += 1
        self.head.bias.requires_grad_(self.count % 2 == 0)
        self.body[2].train(self.count % 2 == 0)
        self.hidden = self.head(self.body(batch[0]))
        self.pair = (self.hidden.detach(), [self.hidden.detach() + 1])
        loss = F.cross_entropy(self.hidden, batch[1])
        self.average.update_parameters(self.head)
        self.replaced = self.replaced + loss.detach()
        self.losses.append(loss.item())
        self.by_name["steps"][0] += 1
        noise = self.numpy_generator.random() + self.python_generator.random()
        noise += torch.rand((), generator=self.torch_generator) + torch.rand(()) + random.random() + np.random.rand()
        self.mean_loss(loss)
        self.log("mean_loss", self.mean_loss, on_step=True, on_epoch=True)
        self.log("noise", noise, on_step=True, on_epoch=True)
        self.log("rate", self.lr_schedulers().get_last_lr()[0])
        self.trainer.should_stop = self.count % 2 == 0
        return loss

    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        optimizer.zero_grad(set_to_none=False)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam([{"params": self.body.parameters()}, {"params": self.head.parameters()}], lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class StatefulLSTM(pl.LightningModule):
    """A language model that goes on with the hidden state of the batch before."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.lstm = nn.LSTM(3, 6, batch_first=True)
        self.head = nn.Linear(6, 5)
        self.state = None

    def training_step(self, batch, batch_idx):
        state = None if self.state is None else tuple(part.detach() for part in self.state)
        hidden, self.state = self.lstm(self.embedding(batch[0][:, :-1]), state)
        return F.cross_entropy(self.head(hidden).flatten(0, 1), batch[0][:, 1:].flatten())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def language():
    tokens = torch.arange(8 * 7).view(8, 7) % 5
    return StatefulLSTM(), {"train_dataloaders": BatchLoader(tokens, batch_size=2)}


class Tabular(pl.LightningModule):
    """Entity embeddings, and a schedule that steps once an epoch."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 1))

    def training_step(self, batch, batch_idx):
        categories, targets = batch
        return F.mse_loss(self.head(self.embedding(categories)).squeeze(1), targets)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]


def tabular():
    categories = torch.arange(24) % 4
    loader = DataLoader(TensorDataset(categories, 2.0 + categories), batch_size=6, shuffle=True)
    return Tabular(), {"train_dataloaders": loader}


class Slope(pl.LightningModule):
    """The loss is the weight, 10, times the batch's mean: each step lowers it by the mean."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(10.0))
        self.epochs = 0

    def on_train_epoch_start(self):
        self.epochs += 1

    def training_step(self, batch, batch_idx):
        return self.weight * batch[0].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class AtStart(pl.Callback):
    """Calls a function with the trainer at the start of the first epoch, and keeps what it returns."""

    def __init__(self, function):
        self.function = function

    def on_train_epoch_start(self, trainer, pl_module):
        self.value = self.function(trainer)


def at_start(function, *loaders, model=None, **choices):
    """What a function of the trainer returns at the start of a training."""
    callback = AtStart(function)
    trainer(1, callback, **choices).fit(model or Slope(), *loaders)
    return callback.value


def numbers(*values, batch_size=1):
    return BatchLoader(torch.tensor(values), batch_size=batch_size)
