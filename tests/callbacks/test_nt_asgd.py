import pytest
import pytorch_lightning as pl
import torch

from src.callbacks.nt_asgd import NTASGD
from src.core.check import check
from src.datamodules.loader import BatchLoader
from tests.support.programs import composed
from tests.support.tiny import AtBatch, save_after, trainer


class Scripted(pl.LightningModule):
    """One weight that each epoch's one step lowers by 1: 10, 9, 8; the validation losses are given, one per epoch."""

    def __init__(self, losses):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([10.0]))
        self.losses = losses
        self.validated = []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch, batch_idx):
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.weight.item())
        self.log("val/loss", self.losses[self.trainer.current_epoch], batch_size=1)

    def train_dataloader(self):
        return BatchLoader(torch.zeros(1), batch_size=1)

    val_dataloader = train_dataloader


# With patience 1 the third validation triggers: 3 is above the best but the last one's, 2. Then the means of 6, 5, 4.
LOSSES = [2.0, 3.0, 3.0, 9.0, 9.0, 9.0]
VALIDATED = [9.0, 8.0, 7.0, 6.0, 5.5, 5.0]


def nt_asgd(patience=1):
    return NTASGD(monitor="val/loss", patience=patience)


def fitted(losses, *callbacks, patience=1, ckpt_path=None, **choices):
    """The model after a fit of one epoch per loss."""
    model = Scripted(losses)
    run = trainer(len(losses), nt_asgd(patience), *callbacks, **choices)
    run.fit(model, ckpt_path=ckpt_path, weights_only=ckpt_path and True)
    return model


class SaveAfterEpoch(pl.Callback):
    """Saves a checkpoint after each epoch's validation, as `best` and `last` are."""

    def __init__(self, path):
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.path)


def saved_after(epochs, path):
    """The checkpoint of a run stopped after so many epochs."""
    fitted(LOSSES[:epochs], SaveAfterEpoch(path))
    return torch.load(path, weights_only=True)


def test_validation_sees_the_mean_of_the_steps_since_the_trigger():
    assert fitted(LOSSES).validated == pytest.approx(VALIDATED)


def test_the_optimizer_goes_on_from_the_raw_weights():
    raw = AtBatch(lambda trainer, model: model.weight.item())
    fitted(LOSSES, raw)
    assert raw.values == [10, 9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("losses", "patience", "epochs_before"),
    [
        ([1.0, 2.0, 2.0, 2.0, 2.0], 2, 4),  # the loss of 2 epochs ago or more counts: first at the fourth validation
        ([5.0, 4.0, 4.5, 3.5, 3.9, 3.9, 3.9, 3.9], 2, 7),  # a rise above the last losses alone is forgiven
        ([3.0, 2.0, 1.0, 0.9, 0.8], 1, None),  # falls all the time
        ([2.0, 2.0, 2.0, 2.0], 1, None),  # equal is not above
        ([2.0, 2.0, float("nan"), 1.0, 1.0], 1, 3),  # a loss that is no number is above any
        ([float("nan"), 2.0, 2.0, 2.0, 3.0, 3.0], 1, 5),  # and never the best
    ],
)
def test_averaging_starts_after_the_validation_that_triggers_it(losses, patience, epochs_before):
    callback = nt_asgd(patience)
    started = AtBatch(lambda trainer, model: callback.is_averaging, "end")
    trainer(len(losses), callback, started).fit(Scripted(losses))
    assert started.values == [epochs_before is not None and epoch >= epochs_before for epoch in range(len(losses))]


def test_averaging_goes_on_when_the_loss_falls_again():
    assert fitted([2.0, 3.0, 3.0, 1.0, 0.5, 0.25]).validated == pytest.approx(VALIDATED)


def test_it_says_when_averaging_starts(capsys):
    fitted(LOSSES)
    assert "nt-asgd: val/loss stopped falling, averaging from step 4 on" in capsys.readouterr().out


def test_the_sanity_check_is_no_validation():
    assert fitted(LOSSES, num_sanity_val_steps=1).validated == pytest.approx([10.0, *VALIDATED])


def test_validating_by_hand_does_not_count():
    callback = nt_asgd()
    trainer(1, callback).validate(Scripted([1.0]), verbose=False)
    assert callback.state_dict()["losses"] == []


def test_after_fit_the_model_is_the_mean():
    assert fitted(LOSSES).weight.item() == pytest.approx(VALIDATED[-1])


def test_without_a_trigger_the_model_stays_as_it_is():
    assert fitted([3.0, 2.0, 1.0]).weight.item() == 7.0


def test_a_second_fit_begins_anew():
    callback, model = nt_asgd(), Scripted(LOSSES)
    trainer(6, callback).fit(model)
    model.weight.data.fill_(10.0)
    trainer(6, callback).fit(model)
    assert model.validated == pytest.approx(2 * VALIDATED)


def test_a_checkpoint_before_the_first_mean_holds_the_weights_alone(tmp_path):
    saved = saved_after(3, tmp_path / "third.ckpt")
    assert saved["state_dict"]["weight"].item() == 7.0
    assert "current_model_state" not in saved


def test_a_checkpoint_after_it_holds_the_mean_and_the_raw_weights(tmp_path):
    saved = saved_after(5, tmp_path / "fifth.ckpt")
    assert saved["state_dict"]["weight"].item() == pytest.approx(5.5)
    assert saved["current_model_state"]["weight"].item() == 5.0


# Before the trigger; after it, before the first mean; within the averaging.
@pytest.mark.parametrize("epochs", [2, 3, 4, 5])
def test_a_resumed_run_goes_on_as_the_uninterrupted_one(tmp_path, epochs):
    saved_after(epochs, tmp_path / "stop.ckpt")
    resumed = fitted(LOSSES, ckpt_path=tmp_path / "stop.ckpt")
    assert resumed.validated == VALIDATED[epochs:]


def test_a_run_resumed_before_its_epochs_validation_is_the_same_too(tmp_path):
    path = tmp_path / "middle.ckpt"
    fitted(LOSSES, save_after(5, path))
    assert fitted(LOSSES, ckpt_path=path).validated[-1] == VALIDATED[-1]


def test_a_score_that_is_not_logged_is_refused():
    with pytest.raises(ValueError, match=r"must be a logged score, got val/perplexity; there are val/loss"):
        trainer(1, NTASGD(monitor="val/perplexity", patience=1)).fit(Scripted([1.0]))


def test_patience_must_be_positive():
    with pytest.raises(ValueError, match="must be 1 or more, got 0"):
        nt_asgd(patience=0)


def test_its_config_fits_the_code(tmp_path):
    config = composed("callbacks=nt_asgd", f"run_dir={tmp_path}")
    check(config)
    assert config.callbacks.nt_asgd.patience == 5
