import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from src.callbacks.averaging import Averaging
from src.datamodules.loader import BatchLoader
from src.training.fsdp import FSDP
from tests.support.tiny import AtBatch, TinyImages, classifier, save_after, trainer


class Slope(pl.LightningModule):
    """One weight that each step lowers by 1: 10, 9, 8, 7."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([10.0]))
        self.validated, self.tested = [], []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def training_step(self, batch, batch_idx):
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.weight.item())

    def test_step(self, batch, batch_idx):
        self.tested.append(self.weight.item())

    def train_dataloader(self):
        return BatchLoader(torch.zeros(1), batch_size=1)

    val_dataloader = test_dataloader = train_dataloader


def raw_weight():
    return AtBatch(lambda trainer, model: model.weight.item())


# With decay 0.1: 9; 0.1 x 9 + 0.9 x 8; 0.1 x 8.1 + 0.9 x 7.
AVERAGES = [9.0, 8.1, 7.11]


def test_validation_sees_the_average_after_each_epoch():
    model = Slope()
    trainer(3, Averaging(decay=0.1)).fit(model)
    assert model.validated == pytest.approx(AVERAGES)


def test_a_large_decay_warms_up():
    model = Slope()
    trainer(3, Averaging(decay=0.999)).fit(model)
    second = (2 * 9 + 9 * 8) / 11  # keeps 2 / 11
    assert model.validated == pytest.approx([9.0, second, (3 * second + 9 * 7) / 12])  # keeps 3 / 12


def test_the_optimizer_goes_on_from_the_raw_weights():
    raw = raw_weight()
    trainer(3, Averaging(decay=0.1), raw).fit(Slope())
    assert raw.values == [10, 9, 8]


def test_before_the_first_step_validation_sees_the_weights_as_they_are():
    model = Slope()
    trainer(1, Averaging(decay=0.1), num_sanity_val_steps=1).fit(model)
    assert model.validated[0] == 10.0


def test_accumulated_batches_count_as_one_step():
    model = Slope()
    model.train_dataloader = lambda: BatchLoader(torch.zeros(4), batch_size=1)
    trainer(1, Averaging(decay=0.1), accumulate_grad_batches=2).fit(model)
    assert model.validated == pytest.approx([8.1])  # two steps: 9, 8


def test_after_fit_the_model_is_the_average():
    model = Slope()
    trainer(3, Averaging(decay=0.1)).fit(model)
    assert model.weight.item() == pytest.approx(AVERAGES[-1])


def test_a_checkpoint_holds_the_average_as_its_weights(tmp_path):
    model, run = Slope(), trainer(3, Averaging(decay=0.1), ModelCheckpoint(tmp_path), enable_checkpointing=True)
    run.fit(model)
    saved = torch.load(run.checkpoint_callback.best_model_path, weights_only=True)
    assert saved["state_dict"]["weight"].item() == pytest.approx(AVERAGES[-1])
    assert saved["current_model_state"]["weight"].item() == 7.0


def test_a_checkpoint_written_when_training_ends_holds_both(tmp_path):
    class SaveAtTheEnd(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "end.ckpt")

    trainer(3, Averaging(decay=0.1), SaveAtTheEnd()).fit(Slope())
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)
    assert saved["state_dict"]["weight"].item() == pytest.approx(AVERAGES[-1])
    assert saved["current_model_state"]["weight"].item() == 7.0


def test_a_checkpoint_written_when_validation_breaks_off_holds_both(tmp_path):
    class Breaking(Slope):
        def validation_step(self, batch, batch_idx):
            if self.trainer.global_step == 2:
                raise RuntimeError("broken off")

    class SaveOnException(pl.Callback):
        def on_exception(self, trainer, pl_module, exception):
            trainer.save_checkpoint(tmp_path / "broken.ckpt")

    with pytest.raises(RuntimeError, match="broken off"):
        trainer(3, Averaging(decay=0.1), SaveOnException()).fit(Breaking())
    saved = torch.load(tmp_path / "broken.ckpt", weights_only=True)
    assert saved["state_dict"]["weight"].item() == pytest.approx(AVERAGES[1])
    assert saved["current_model_state"]["weight"].item() == 8.0


def test_test_after_fit_scores_the_average_of_the_checkpoint(tmp_path):
    model, run = Slope(), trainer(3, Averaging(decay=0.1), ModelCheckpoint(tmp_path), enable_checkpointing=True)
    run.fit(model)
    run.test(model, ckpt_path=run.checkpoint_callback.best_model_path, weights_only=True, verbose=False)
    assert model.tested == pytest.approx([AVERAGES[-1]])


def test_validate_after_fit_scores_the_checkpoint_it_is_given(tmp_path):
    path, model = tmp_path / "first.ckpt", Slope()
    run = trainer(3, Averaging(decay=0.1), save_after(1, path))
    run.fit(model)
    run.validate(model, ckpt_path=path, weights_only=True, verbose=False)
    assert model.validated[-1] == pytest.approx(AVERAGES[0])


def test_a_run_resumed_between_two_steps_averages_steps_only(tmp_path):
    class Nine(Slope):
        def train_dataloader(self):
            return BatchLoader(torch.zeros(9), batch_size=1)

    def save(trainer, model):
        if trainer.fit_loop.batch_idx == 6:  # the third step's first batch of three
            trainer.save_checkpoint(tmp_path / "between.ckpt")

    trainer(1, Averaging(decay=0.1), AtBatch(save, "end"), accumulate_grad_batches=3).fit(Nine())
    model = Nine()
    resumed = trainer(1, Averaging(decay=0.1), accumulate_grad_batches=3)
    resumed.fit(model, ckpt_path=tmp_path / "between.ckpt", weights_only=True)
    # The gradient of the batch before the stop is lost: the last step is one of two thirds.
    assert model.validated[-1] == pytest.approx(0.1 * 8.1 + 0.9 * (8 - 2 / 3))


def test_a_resumed_run_goes_on_with_both(tmp_path):
    path = tmp_path / "middle.ckpt"
    trainer(3, Averaging(decay=0.1), save_after(2, path)).fit(Slope())
    raw, model = raw_weight(), Slope()
    trainer(3, Averaging(decay=0.1), raw).fit(model, ckpt_path=path, weights_only=True)
    assert raw.values == [8.0]
    assert model.validated[-1] == pytest.approx(AVERAGES[-1])


def test_a_checkpoint_without_averages_starts_both_kinds(tmp_path):
    path = tmp_path / "middle.ckpt"
    trainer(2, save_after(2, path)).fit(Slope())
    model = Slope()
    trainer(3, Averaging(decay=0.1)).fit(model, ckpt_path=path, weights_only=True)
    assert model.validated[-1] == 7.0  # the first average is the third step's weight


def test_batch_norms_statistics_are_those_of_the_raw_net():
    statistics = AtBatch(lambda trainer, model: model.net.stages[0][1].running_mean.clone(), "end")
    model = classifier()
    trainer(2, Averaging(decay=0.9), statistics).fit(model, TinyImages())
    assert torch.equal(model.net.stages[0][1].running_mean, statistics.values[-1])


def test_a_net_built_from_the_data_is_averaged_without_a_warning():
    raw, model = AtBatch(lambda trainer, model: model.net.head.weight.detach().clone(), "end"), classifier()
    trainer(2, Averaging(decay=0.9), raw).fit(model, TinyImages())  # warnings are errors here
    assert not torch.equal(model.net.head.weight, raw.values[-1])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=rf"within \[0, 1\), got {decay}"):
        Averaging(decay=decay)


def test_a_sharded_model_is_refused():
    run = trainer()
    run.strategy.__class__ = FSDP
    with pytest.raises(ValueError, match="averaging copies the whole model, and trainer=fsdp divides it"):
        Averaging(decay=0.9).setup(run, Slope(), "fit")
