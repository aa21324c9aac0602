"""Small trainings on text, by a language model, for searches for their bptt."""

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from src.callbacks.bptt_finder.finder import BPTTFinder
from src.datamodules.text.bptt_loader import BPTTLoader
from tests.support.programs import same
from tests.support.searched import Story
from tests.support.tiny import trainer

OWN = {"bptt/suggested", "time/bptt_finder_s", "lr/suggested", "time/lr_finder_s"}
SHORT = {"ladder": [3, 6, 12], "steps": 2, "min_speed": 0.0}


class Reader(pl.LightningModule):
    """A language model with a hidden state, dropout and a schedule; keeps the length of each window it trains on."""

    def __init__(self):
        super().__init__()
        self.lr = 0.01
        self.embedding, self.lstm, self.head = nn.Embedding(7, 4), nn.LSTM(4, 5), nn.Linear(5, 7)
        self.dropout = nn.Dropout(0.2)
        self.state = None
        self.lengths = _Lengths()

    def on_save_checkpoint(self, checkpoint):
        checkpoint["state"] = None if self.state is None else [part.detach() for part in self.state]

    def on_load_checkpoint(self, checkpoint):
        self.state = checkpoint["state"]

    def loss(self, batch):
        state = None if self.state is None else tuple(part.detach() for part in self.state)
        hidden, self.state = self.lstm(self.dropout(self.embedding(batch[0])), state)
        return F.cross_entropy(self.head(hidden).flatten(0, 1), batch[1].flatten())

    def training_step(self, batch, batch_idx):
        if batch_idx == 0:  # not on_train_epoch_start, which a run resumed at an epoch's end does not get
            self.state = None
        self.lengths.seen.append(len(batch[0]))
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        hidden, _ = self.lstm(self.embedding(batch[0]))
        self.log("val/loss", F.cross_entropy(self.head(hidden).flatten(0, 1), batch[1].flatten()))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Lengths:
    """What no copy changes: a search undoes what the module keeps otherwise."""

    def __init__(self):
        self.seen = []

    def __deepcopy__(self, memo):
        return self


def tokens(count=145):
    return torch.randint(0, 7, (count,), generator=torch.Generator().manual_seed(0))


class Text(pl.LightningDataModule):
    """144 tokens in 2 tracks: 24 windows of 3, 12 of 6, 6 of 12."""

    def __init__(self, bptt=4, vary=False):
        super().__init__()
        self.bptt, self.vary = bptt, vary

    def train_dataloader(self):
        return BPTTLoader(tokens(), batch_size=2, bptt=self.bptt, vary=self.vary)

    def val_dataloader(self):
        return BPTTLoader(tokens(41), batch_size=2, bptt=self.bptt)


class Plain(Text):
    """Whose loaders know nothing of bptt."""

    def train_dataloader(self):
        return DataLoader(list(super().train_dataloader()), batch_size=None)


def of_datamodule(bptt=4):
    return {"datamodule": Text(bptt)}


def of_varied(bptt=4):
    return {"datamodule": Text(bptt, vary=True)}


def of_plain_loaders(bptt=4):
    return {"datamodule": Plain(bptt)}


def of_loaders(bptt=4):
    return {"train_dataloaders": Text(bptt).train_dataloader()}


class Metrics(pl.Callback):
    """As RunMetrics reads them."""

    def teardown(self, trainer, pl_module, stage):
        self.found = dict(trainer.callback_metrics)


def fit(*callbacks, data=None, model=None, epochs=2, **choices):
    """The trainer and the model after a training."""
    pl.seed_everything(3, verbose=False)
    model = model or Reader()
    run = trainer(epochs, *callbacks, **choices)
    run.fit(model, **(data or of_datamodule()))
    return run, model


def found(model=None, data=None, **choices):
    """The search of a training that is left to come."""
    return BPTTFinder(**(SHORT | choices)).find(trainer(), model or Reader(), **(data or of_datamodule()))


def told(*callbacks, **choices):
    story = Story()
    fit(*callbacks, story, **choices)
    for page in story.pages:
        for scores in ("callback_metrics", "logged_metrics"):
            page[scores] = {name: value for name, value in page[scores].items() if name not in OWN}
    return story.pages


def assert_same_stories(story, other):
    for batch, (page, its) in enumerate(zip(story, other, strict=True)):
        assert [part for part in page if not same(page[part], its[part])] == [], f"before batch {batch}"
