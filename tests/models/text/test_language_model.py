import copy
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning import seed_everything
from torch.optim.lr_scheduler import ExponentialLR
from torch.testing import assert_close

from src.callbacks.loader_state import LoaderState
from src.callbacks.random_state import RandomState
from src.datamodules.text.bptt_loader import BPTTLoader
from src.models.schedules import constant
from src.models.text.awd_lstm import AWDLSTM
from src.models.text.dynamic_evaluation import DynamicEvaluation
from src.models.text.language_model import mapped
from src.models.text.recurrent_net import LanguageFeatures
from tests.support.callbacks.stop_at import StopAt, Stopped
from tests.support.programs import same
from tests.support.tiny import AtBatch, trainer
from tests.support.tiny_text import TinyLanguageNet, TinyText, built, language_model, stream

ADAM = partial(torch.optim.Adam, betas=(0.7, 0.9))


def trained(model, data=None, epochs=1, *callbacks, **choices):
    seed_everything(0, verbose=False)
    run = trainer(epochs, *callbacks, **choices)
    run.fit(model, data or TinyText())
    return run


def window(num_tokens=7, batch=2):
    tokens = stream(num_tokens * batch + 1)
    return next(iter(BPTTLoader(tokens, batch_size=batch, bptt=num_tokens)))


def test_the_loss_is_the_cross_entropy_of_the_next_tokens():
    model, (tokens, targets) = built(), window()
    features = model(tokens)
    logits = model.net.decoder(features.dropped)
    model.log_loss = lambda loss, batch_size: None
    assert_close(model.training_step((tokens, targets), 0), F.cross_entropy(logits.flatten(0, 1), targets.flatten()))


def test_penalties_join_what_is_trained_on_and_not_what_is_logged():
    model, batch, logged = built(language_model(alpha=2.0, beta=3.0)), window(), {}
    model.log_loss = lambda loss, batch_size: logged.update({"train/loss": loss})
    model.net.dropout.register_forward_hook(lambda module, inputs, raw: 2 * raw)  # so that dropped is not raw
    loss = model.training_step(batch, 0)
    dropped, raw, _ = model(batch[0])
    changes = raw[1:] - raw[:-1]
    assert_close(loss - logged["train/loss"], 2 * (dropped**2).mean() + 3 * (changes**2).mean())
    assert not logged["train/loss"].requires_grad


def test_a_window_of_one_token_has_no_change_to_be_penalised():
    model = built(language_model(beta=3.0))
    model.log_loss = lambda loss, batch_size: None
    assert model.training_step(window(1), 0).isfinite()


def test_two_windows_of_35_are_one_of_70():
    model = built()
    model.log_loss = lambda loss, batch_size: None

    def mean_loss(bptt):
        model.state = None
        batches = BPTTLoader(stream(2 * 70 + 1), batch_size=2, bptt=bptt)
        return torch.stack([model.training_step(batch, 0) for batch in batches]).mean()

    assert_close(mean_loss(35), mean_loss(70))


def test_no_gradient_flows_into_the_window_before():
    model = built()
    model.log_loss = lambda loss, batch_size: None
    model.training_step(window(), 0)
    ((h, c),) = model.state
    assert h.grad_fn is None
    assert c.grad_fn is None
    assert h.abs().sum() > 0


def test_the_state_begins_anew_with_each_epoch():
    model, states = language_model(), []
    forward = model.forward
    model.forward = lambda tokens, state: states.append(state) or forward(tokens, state)
    trained(model, None, 2, limit_val_batches=0)
    assert [state is None for state in states] == [True, *5 * [False]] * 2


def test_a_validation_leaves_the_training_state_as_it_is():
    kept = AtBatch(lambda trainer, model: model.state, "end"), AtBatch(lambda trainer, model: model.state)
    trained(language_model(), None, 1, *kept, val_check_interval=1)
    assert same(kept[0].values[:-1], kept[1].values[1:])


def test_a_batch_with_other_tracks_is_an_error():
    model = built()
    model.log_loss = lambda loss, batch_size: None
    model.training_step(window(batch=2), 0)
    with pytest.raises(ValueError, match="same batch size, got 3 after 2"):
        model.training_step(window(batch=3), 1)


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("vary", [True, False])
def test_the_rate_of_a_step_follows_the_length_of_its_varied_windows(vary, accumulated):
    data = TinyText(tokens=stream(400), bptt=20, vary=vary)
    windows = list(data.train_dataloader())[:accumulated]
    unchanging = partial(ExponentialLR, gamma=1.0)  # from step to step, by multiplication
    model = built(language_model(optimizer=torch.optim.SGD, scheduler=unchanging)).train()
    unmoved = copy.deepcopy(model)
    unmoved.log_loss = lambda loss, batch_size: None
    for window in windows:
        (unmoved.training_step(window, 0) / accumulated).backward()
    run = trained(model, data, 1, max_steps=1, accumulate_grad_batches=accumulated)
    lengths = [len(tokens) for tokens, _ in windows]
    assert (set(lengths) == {20}) is not vary
    rate = 0.1 * sum(lengths) / accumulated / 20
    bias = unmoved.net.decoder.bias
    assert_close(model.net.decoder.bias, bias - rate * bias.grad)
    assert run.optimizers[0].param_groups[0]["lr"] == 0.1


def test_each_step_has_the_rate_of_its_own_window():
    rates = []

    class Rates(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    data = TinyText(tokens=stream(400), bptt=20, vary=True)
    trained(language_model(), data, 1, Rates())
    assert rates == pytest.approx([0.1 * len(tokens) / 20 for tokens, _ in data.train_dataloader()])


def test_2_kb_of_text_are_learned_by_heart():
    tokens = torch.frombuffer(bytearray(Path(__file__).read_bytes()[:2000]), dtype=torch.uint8)
    model = language_model(partial(TinyLanguageNet, size=64), optimizer=ADAM, lr=0.02, loss_chunk=200)
    data = TinyText(tokens=tokens, batch_size=8, bptt=25, vocab_size=128)
    data.val_dataloader = lambda: BPTTLoader(tokens, batch_size=8, bptt=25, keep_tail=True)
    run = trained(model, data, 30, check_val_every_n_epoch=30)
    assert run.callback_metrics["val/perplexity"] < 1.5


def scores(model, data, method="validate"):
    (found,) = getattr(trainer(), method)(model, data, verbose=False)
    return found


def test_a_model_that_knows_nothing_is_perplexed_by_the_whole_vocabulary():
    model = built()
    torch.nn.init.zeros_(model.net.decoder.weight)
    torch.nn.init.zeros_(model.net.decoder.bias)
    found = scores(model, TinyText())
    assert found["val/perplexity"] == pytest.approx(11)
    assert found["val/loss"] == pytest.approx(math.log(11))
    assert found["val/bits_per_token"] == pytest.approx(math.log2(11))


@pytest.mark.parametrize(("method", "split"), [("validate", "val"), ("test", "test")])
def test_scores_are_over_every_token_of_the_stream(method, split):
    model, data = built(), TinyText(eval_batch_size=1)
    text = getattr(data, f"{split}_dataloader")().tokens
    tokens = torch.from_numpy(text)[:, None]
    logits = model.net.decoder(model(tokens[:-1]).dropped).double()
    loss = F.cross_entropy(logits.squeeze(1), tokens[1:, 0]).item()
    found = scores(model, data, method)
    assert found[f"{split}/loss"] == pytest.approx(loss, rel=1e-6)
    assert found[f"{split}/perplexity"] == pytest.approx(math.exp(loss), rel=1e-6)


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_a_larger_batch_scores_the_same_tokens_as_batch_size_1(batch_size):
    # With a net that has no memory: with one, each track begins without its past.
    model = built()
    model.net.lstm.weight_hh_l0.data.zero_()
    model.net.lstm.bias_hh_l0.data[6:12] = -100  # the gate that keeps the cell is shut
    one, more = (scores(model, TinyText(eval_batch_size=size))["val/loss"] for size in (1, batch_size))
    assert more == pytest.approx(one, rel=1e-6)


def test_scoring_begins_anew_each_time():
    model, data = built(), TinyText()
    assert scores(model, data) == scores(model, data)


def test_bfloat16_scores_within_a_thousandth():
    model = built()
    exact = scores(model, TinyText())["val/loss"]
    model.loss_choices["dtype"] = torch.bfloat16
    assert scores(model, TinyText())["val/loss"] == pytest.approx(exact, rel=1e-3)


DOCUMENTS = [0, 9, 23, 24]  # where they begin in a stream of 41 tokens


def small_lstm(**facts):
    rates = {f"{name}_dropout": 0.0 for name in ("embedding", "input", "hidden", "output", "weight")}
    return AWDLSTM(**facts, embedding_size=6, hidden_size=5, num_layers=2, tie_weights=True, cutoffs=None, **rates)


def loss_by_document(model, tokens):
    """The mean loss of a stream's tokens, each foretold from nothing but the document of the one before."""
    documents = torch.tensor_split(tokens[:-1], DOCUMENTS[1:])
    logits = torch.cat([model.net.decoder(model(document[:, None]).dropped) for document in documents])
    return F.cross_entropy(logits.squeeze(1), tokens[1:]).item()


@pytest.mark.parametrize("changes", [{}, {"dynamic": DynamicEvaluation(lr=1e-9, decay=0.0)}], ids=["", "dynamic"])
@pytest.mark.parametrize("method", ["validate", "test"])
@pytest.mark.parametrize("bptt", [4, 40])
def test_each_document_is_scored_by_itself_and_every_token_counts(method, bptt, changes):
    model, tokens = built(language_model(small_lstm, **changes)), stream(41)
    loader = BPTTLoader(tokens, starts=np.array(DOCUMENTS), batch_size=1, bptt=bptt, keep_tail=True)
    (found,) = getattr(trainer(), method)(model, loader, verbose=False)
    assert next(iter(found.values())) == pytest.approx(loss_by_document(model, tokens), rel=1e-6)


def test_each_document_is_trained_on_by_itself():
    model, tokens = built(language_model(small_lstm)), stream(41)
    model.log_loss = lambda loss, batch_size: None
    loader = BPTTLoader(tokens, starts=np.array(DOCUMENTS), batch_size=1, bptt=8)
    losses = [model.training_step(batch, 0).item() for batch in loader]
    assert sum(losses) / len(losses) == pytest.approx(loss_by_document(model, tokens), rel=1e-6)


def test_token_losses_are_those_of_each_next_token_given_the_window_before():
    model, tokens = built(), stream(41)
    loader = BPTTLoader(tokens, batch_size=1, bptt=9, keep_tail=True)
    logits = model.net.decoder(model(tokens[:-1, None]).dropped)
    expected = F.cross_entropy(logits.squeeze(1), tokens[1:], reduction="none")
    state, losses = None, []
    for window in loader:
        found, (_, _, state) = model.token_losses(window, state)
        losses.append(found)
    assert_close(torch.cat(losses).squeeze(1), expected)


def stopped_and_resumed(path, step, data=TinyText, **choices):
    """A checkpoint's worth of training, stopped after `step` and gone on with in a new process's stead."""

    def model():
        net = partial(TinyLanguageNet, dropout=0.3)
        return language_model(net, optimizer=ADAM, lr=0.01, scheduler=constant, alpha=2.0, beta=1.0)

    def end(run, model):
        return {"weights": model.state_dict(), "state": model.state, "optimizer": run.optimizers[0].state_dict()}

    resumable = RandomState, LoaderState
    whole = model()
    run = trained(whole, data(), 2, *(each() for each in resumable), **choices)
    with pytest.raises(Stopped):
        trained(model(), data(), 2, *(each() for each in resumable), StopAt(step=step, path=path), **choices)
    torch.rand(5)  # another process has another random state
    resumed, rerun = model(), trainer(2, *(each() for each in resumable), **choices)
    rerun.fit(resumed, data(), ckpt_path=path, weights_only=True)
    return end(run, whole), end(rerun, resumed)


@pytest.mark.parametrize(
    ("step", "choices"),
    [
        pytest.param(3, {}, id="in mid-epoch"),
        pytest.param(6, {}, id="after an epoch's last window"),
        pytest.param(8, {}, id="in the second epoch"),
        pytest.param(2, {"accumulate_grad_batches": 2}, id="between accumulated steps"),
        pytest.param(4, {"val_check_interval": 2}, id="before a validation in mid-epoch"),
    ],
)
def test_a_stopped_run_goes_on_with_the_same_state_bit_for_bit(tmp_path, step, choices):
    whole, resumed = stopped_and_resumed(str(tmp_path / "stopped.ckpt"), step, **choices)
    assert same(whole, resumed)


@pytest.mark.parametrize("step", [4, 11])
def test_a_stopped_run_of_windows_of_random_length_goes_on_bit_for_bit_too(tmp_path, step):
    data = partial(TinyText, tokens=stream(271), bptt=11, vary=True)
    lengths = {len(tokens) for tokens, _ in data().train_dataloader()}
    assert len(lengths) > 3
    whole, resumed = stopped_and_resumed(str(tmp_path / "stopped.ckpt"), step, data)
    assert same(whole, resumed)


class ViewOfItsWindow(TinyLanguageNet):
    """A net whose state is a part of its output."""

    def forward(self, tokens, state=None):
        dropped, raw, ((_, cell),) = super().forward(tokens, state)
        return LanguageFeatures(dropped, raw, ((raw[-1:], cell),))


def test_a_checkpoint_holds_the_state_alone_and_no_window(tmp_path):
    model = language_model(ViewOfItsWindow)
    run = trained(model, TinyText(tokens=stream(3001), bptt=1000))
    run.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["hidden_state"]
    assert same(saved["ranks"], [model.state])
    assert saved["ranks"][0][0][0].untyped_storage().nbytes() == 4 * 3 * 6


def test_a_checkpoint_of_another_vocabulary_is_an_error(tmp_path):
    run = trained(language_model())
    run.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="vocab_size: 11 there, 12 here"):
        trainer(2).fit(language_model(), TinyText(vocab_size=12), ckpt_path=tmp_path / "a.ckpt", weights_only=True)


def test_a_state_keeps_its_nesting():
    state = ((torch.zeros(1), None), (torch.ones(2),))
    assert same(mapped(lambda tensor: tensor + 1, state), ((torch.ones(1), None), (torch.full((2,), 2.0),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": -1.0}, "must not be negative, got alpha=-1.0, beta=0.0"),
        ({"loss_chunk": 0}, "loss_chunk must be positive, got 0"),
        ({"projection": "fp16"}, "projection must be one of auto, bf16, fp32, got fp16"),
    ],
)
def test_a_wrong_choice_is_an_error(changes, message):
    with pytest.raises(ValueError, match=message):
        language_model(**changes)
