import logging
import sys
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import StochasticWeightAveraging
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from src.models.schedules import flat_cosine
from src.models.tables.entity_mlp import EntityMLP
from src.training.trainer import Trainer, keep_freed_memory, launched_by_slurm, multiplies_in_bf16, silence_lightning
from tests.support import tiny, tiny_table

SCHEDULE = partial(flat_cosine, warmup_fraction=0.0, flat_fraction=0.5, final_ratio=0.1)


def trainer(**kwargs):
    return Trainer(logger=False, enable_checkpointing=False, **kwargs)


def with_capabilities(monkeypatch, **capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_auto_precision_is_bf16_where_the_cpu_multiplies_in_it(monkeypatch, flag):
    with_capabilities(monkeypatch, **{flag: True})
    assert trainer(precision="auto", accelerator="cpu").precision == "bf16-mixed"


def test_auto_precision_is_fp32_on_a_cpu_without_bf16(monkeypatch):
    with_capabilities(monkeypatch, avx2=True)
    assert trainer(precision="auto", accelerator="cpu").precision == "32-true"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_multiplies_in_bf16_from_compute_capability_8(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert multiplies_in_bf16("auto") is expected


def test_a_gpu_that_is_not_used_does_not_decide(monkeypatch):
    with_capabilities(monkeypatch, avx512_bf16=False, amx_bf16=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert not multiplies_in_bf16("cpu")
    assert multiplies_in_bf16("gpu")


def test_a_cpu_that_is_not_used_does_not_decide(monkeypatch):
    with_capabilities(monkeypatch, avx512_bf16=True)
    assert multiplies_in_bf16("auto")
    assert not multiplies_in_bf16("mps")


@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_a_gpu_that_is_not_there_is_named(monkeypatch, accelerator):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    with pytest.raises(ValueError, match=f"trainer.accelerator={accelerator} .* needs a GPU, and torch finds none"):
        trainer(precision="auto", accelerator=accelerator)


def test_tasks_of_srun_are_known_and_not_requeued_by_lightning(monkeypatch):
    for detect in (SLURMEnvironment, TorchElasticEnvironment):
        monkeypatch.setattr(detect, "detect", lambda: False)
    assert launched_by_slurm() == []
    monkeypatch.setattr(SLURMEnvironment, "detect", lambda: True)
    [environment] = launched_by_slurm()
    assert environment.auto_requeue is False
    monkeypatch.setattr(TorchElasticEnvironment, "detect", lambda: True)
    assert launched_by_slurm() == []


def test_lightning_announces_nothing():
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.INFO)
    silence_lightning()
    for name in ("pytorch_lightning", "lightning_fabric"):
        assert logging.getLogger(name).level == logging.WARNING


def test_a_named_precision_is_kept():
    assert trainer(precision="32-true", accelerator="cpu").precision == "32-true"


def test_no_progress_bar_appears_unless_a_callback_brings_one():
    assert trainer(precision="32-true", accelerator="cpu").progress_bar_callback is None


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_memory_that_one_step_frees_serves_the_next():
    keep_freed_memory()
    resource = pytest.importorskip("resource")

    def steps(count):
        for _ in range(count):
            torch.empty(40 << 20, dtype=torch.uint8).fill_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    settled = steps(16)  # the heap grows by a few blocks first
    # By default each round faults in 40 MiB anew, 10,240 pages.
    assert steps(4) - settled < 1000


def fitting(batches, **choices):
    """A trainer whose fit has so many batches in an epoch."""
    fit = trainer(precision="32-true", accelerator="cpu", **choices)
    fit.fit_loop.max_batches = batches
    return fit


@pytest.mark.parametrize(
    ("choices", "steps"),
    [
        ({"max_epochs": 20}, 2),  # 260 steps
        ({"max_epochs": 3}, 1),
        ({"max_epochs": 1000}, 50),
        ({"max_epochs": 100, "accumulate_grad_batches": 2}, 6),  # 650 steps
        ({"max_epochs": 100, "max_steps": 345}, 3),
        ({"max_epochs": -1}, 50),
        ({"max_epochs": 20, "log_every_n_steps": 7}, 7),
        ({"max_epochs": 20, "log_every_n_steps": 0}, 0),
    ],
)
def test_curves_have_a_hundred_points_unless_a_number_is_given(choices, steps):
    assert fitting(13, **choices).log_every_n_steps == steps


def test_before_the_number_of_batches_is_known_points_are_50_steps_apart():
    assert trainer(precision="32-true", accelerator="cpu", max_epochs=2).log_every_n_steps == 50


class Finds(pl.Callback):
    """What a stranger's callback finds in its setup."""

    def setup(self, trainer, pl_module, stage):
        self.net, self.count = pl_module.net, len(list(pl_module.parameters()))


def test_the_net_is_there_when_callbacks_are_set_up():
    finds, model = Finds(), tiny_table.tabular_model()
    tiny.trainer(1, finds).fit(model, tiny_table.TinyTable())
    assert finds.net is model.net
    assert finds.count == len(list(model.parameters())) > 0


def test_a_net_that_is_built_earlier_has_the_same_weights():
    def weights(after_setup):
        pl.seed_everything(3, verbose=False)
        model = tiny_table.tabular_model()
        trainer = tiny.trainer(1)
        trainer.callbacks = [] if after_setup else trainer.callbacks
        trainer.fit(model, tiny_table.TinyTable())
        return list(model.parameters())

    for early, late in zip(weights(False), weights(True), strict=True):
        assert torch.equal(early, late)


class StartsOfEpochs(pl.Callback):
    """The weights at the start of each epoch."""

    def __init__(self):
        self.weights = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.weights.append([parameter.detach().clone() for parameter in pl_module.parameters()])


@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
@pytest.mark.parametrize("batch_norm", [False, True])
def test_swa_of_lightning_averages_and_its_checkpoint_can_be_tested(tmp_path, batch_norm):
    swa = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)
    parts = {"net": partial(EntityMLP, **tiny_table.choices(batch_norm=batch_norm)), "scheduler": SCHEDULE}
    starts, model = StartsOfEpochs(), tiny_table.tabular_model(**parts)
    trainer = tiny.trainer(4, starts, swa)
    trainer.fit(model, tiny_table.TinyTable())
    averaged = [torch.stack(each).mean(0) for each in zip(*starts.weights[1:4], strict=True)]
    for found, expected in zip(model.parameters(), averaged, strict=True):
        torch.testing.assert_close(found.detach(), expected)
    trainer.save_checkpoint(tmp_path / "swa.ckpt")
    again = tiny_table.tabular_model(**parts)
    tester = tiny.trainer(1)
    tester.test(again, tiny_table.TinyTable(), ckpt_path=tmp_path / "swa.ckpt", weights_only=True, verbose=False)
    assert all(torch.equal(*pair) for pair in zip(again.parameters(), model.parameters(), strict=True))
