import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

from src.datamodules.text.bptt_loader import BPTTLoader
from src.models.text.awd_lstm import AWDLSTM
from src.models.text.dynamic_evaluation import DynamicEvaluation
from src.models.text.neural_cache import NeuralCache
from src.models.text.qrnn import QRNN
from tests.support.programs import same
from tests.support.tiny import trainer
from tests.support.tiny_text import TinyLanguageNet, TinyText, built, language_model, stream

DROPOUTS = dict.fromkeys(
    ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout"), 0.5
)
CHOICES = {"embedding_size": 16, "hidden_size": 17, "num_layers": 2, "tie_weights": True, "cutoffs": None} | DROPOUTS
LSTM = partial(AWDLSTM, **CHOICES)
QRNN_NET = partial(QRNN, pooling="fo", window=2, zoneout=0.1, dense=False, **CHOICES)
ADAPTIVE = partial(AWDLSTM, **(CHOICES | {"tie_weights": False, "cutoffs": [3, 7]}))


def make(lr=0.5, decay=0.1, net=TinyLanguageNet, **changes):
    torch.manual_seed(0)
    return built(language_model(net, dynamic=DynamicEvaluation(lr=lr, decay=decay), **changes))


class Losses(pl.Callback):
    """Keeps the summed loss of each window; raises before a chosen one."""

    def __init__(self, stop_before=None):
        self.sums, self.stop_before = [], stop_before

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if batch_idx == self.stop_before:
            raise KeyboardInterrupt

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        assert not pl_module._sums[-1].requires_grad  # else it would keep its whole window in memory
        self.sums.append(pl_module._sums[-1].item())


def losses(model, tokens=None, eval_batch_size=2, **choices):
    """Each window's loss in a test."""
    data = TinyText(eval_batch_size=eval_batch_size)
    if tokens is not None:
        data.test_dataloader = lambda: BPTTLoader(tokens, batch_size=eval_batch_size, bptt=4, keep_tail=True)
    kept = Losses()
    trainer(1, kept, **choices).test(model, data, verbose=False)
    return kept.sums


def static(model):
    model = copy.deepcopy(model)
    model.dynamic = None
    return model


def test_a_step_worked_by_hand():
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    dynamic = DynamicEvaluation(lr=0.5, decay=0.25)
    dynamic.begin(net, world_size=1)
    for expected in (0.5, -0.625):  # 2 - 0.5 x 3 + 0.25 x 0; 0.5 - 0.5 x 3 + 0.25 x (2 - 0.5)
        dynamic.learn(dynamic.net(torch.tensor([3.0])).sum())
        assert dynamic.net.weight.item() == expected
    assert net.weight.item() == 2.0


def slow_losses(model, lr, decay):
    net, trained, state, sums = copy.deepcopy(model.net), list(model.net.parameters()), None, []
    for tokens, targets in TinyText().test_dataloader():
        features = net(tokens, state)
        ((hidden, cell),) = features.state
        state = ((hidden.detach(), cell.detach()),)
        loss = F.cross_entropy(net.decoder(features.dropped).flatten(0, 1), targets.flatten())
        sums.append(loss.item() * int((targets >= 0).sum()))
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for weight, gradient, first in zip(net.parameters(), gradients, trained, strict=True):
                weight.copy_(weight - lr * gradient + decay * (first - weight))
    return sums


@pytest.mark.parametrize("inference_mode", [True, False])
def test_it_equals_the_papers_rule_window_by_window(inference_mode):
    model = make(lr=0.5, decay=0.1)
    assert losses(model, inference_mode=inference_mode) == pytest.approx(slow_losses(model, 0.5, 0.1), rel=1e-5)


def test_a_text_that_repeats_itself_becomes_less_surprising():
    model, text = make(lr=1.0, decay=0.0), torch.tensor([1, 7, 3]).repeat(30)
    assert sum(losses(model, text)) < 0.7 * sum(losses(static(model), text))


@pytest.mark.parametrize("net", [TinyLanguageNet, LSTM, QRNN_NET, ADAPTIVE])
def test_the_first_window_is_scored_by_the_trained_net_and_without_dropout(net):
    model = make(net=net)
    dynamic, plain = losses(model), losses(static(model))
    assert dynamic[0] == pytest.approx(plain[0], rel=1e-6)
    assert dynamic[1:] != pytest.approx(plain[1:], rel=1e-4)


def test_the_future_does_not_change_what_was_scored():
    text, other = stream(41), stream(41)
    other[22:] = other[22:].flip(0)  # the third window's last target is token 12 of each track of 20
    before, after = losses(make(), text, eval_batch_size=1), losses(make(), other, eval_batch_size=1)
    assert before[:5] == after[:5]  # the first 20 tokens and their targets
    assert before[6:] != after[6:]


def test_after_a_test_the_weights_are_as_before_bit_for_bit():
    model = make()
    weights = copy.deepcopy(model.state_dict())
    first = losses(model)
    assert same(model.state_dict(), weights)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert losses(model) == first


def test_a_test_that_is_stopped_leaves_the_weights_as_they_were():
    model = make()
    weights = copy.deepcopy(model.state_dict())
    kept = Losses(stop_before=3)
    with pytest.raises(SystemExit):
        trainer(1, kept).test(model, TinyText(), verbose=False)
    assert len(kept.sums) == 3
    assert same(model.state_dict(), weights)
    assert losses(model)[:3] == kept.sums


def test_validation_stays_as_it_is():
    model = make()
    validated = [trainer().validate(each, TinyText(), verbose=False) for each in (model, static(model))]
    assert validated[0] == validated[1]


def test_a_cache_is_mixed_with_what_the_adapted_net_says():
    def cache(share):
        return NeuralCache(size=9, sharpness=0.5, share=share)

    adapted = losses(make())
    assert losses(make(cache=cache(0.0))) == pytest.approx(adapted, rel=1e-5)
    assert losses(make(cache=cache(0.3)))[1:] != pytest.approx(adapted[1:], rel=1e-3)


def test_recurrent_layers_are_in_training_mode_for_cudnn_and_nothing_else_is():
    net = nn.Sequential(nn.LSTM(3, 4, num_layers=2, dropout=0.5), nn.Dropout(0.5)).eval()
    dynamic = DynamicEvaluation(lr=0.1, decay=0.0)
    dynamic.begin(net, world_size=1)
    lstm, dropout = dynamic.net
    assert (lstm.training, lstm.dropout, dropout.training) == (True, 0.0, False)
    assert (net[0].training, net[0].dropout) == (False, 0.5)


def test_several_ranks_are_refused():
    with pytest.raises(ValueError, match="one text on one device, got 2"):
        DynamicEvaluation(lr=0.1, decay=0.0).begin(nn.Linear(1, 1), world_size=2)


@pytest.mark.parametrize("choice", [{"lr": 0.0}, {"decay": -0.1}, {"decay": 1.0}])
def test_a_choice_out_of_range_is_refused(choice):
    with pytest.raises(ValueError, match=r"needs lr > 0 and decay within \[0, 1\), got"):
        DynamicEvaluation(**({"lr": 0.1, "decay": 0.0} | choice))
