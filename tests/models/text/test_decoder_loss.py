from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.datamodules.text.bptt_loader import BPTTLoader
from src.models.text.adaptive_decoder import AdaptiveDecoder
from src.models.text.awd_lstm import AWDLSTM
from src.models.text.decoder_loss import decoder_loss, decoder_losses
from src.models.text.generation import generate
from src.models.text.token_loss import IGNORED, token_loss, token_losses
from tests.support.tiny import trainer
from tests.support.tiny_text import TinyText, built, language_model

CHOICES = {"chunk_size": 4, "dtype": torch.float32}
NET = partial(
    AWDLSTM,
    embedding_size=32,
    hidden_size=64,
    num_layers=1,
    embedding_dropout=0.0,
    input_dropout=0.0,
    hidden_dropout=0.0,
    output_dropout=0.0,
    weight_dropout=0.0,
    tie_weights=False,
)


@pytest.fixture
def window():
    """Features and targets of 5 time steps and 3 tracks, one target of which is ignored."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(11, (5, 3), generator=generator)
    targets[1, 2] = IGNORED
    return torch.randn(5, 3, 17, generator=generator), targets


def adaptive():
    torch.manual_seed(0)
    return AdaptiveDecoder(17, 11, cutoffs=[3, 7])


def test_an_adaptive_decoders_losses_are_torchs_own_log_probabilities(window):
    features, targets = window
    decoder = adaptive()
    losses = decoder_losses(decoder, features, targets, **CHOICES)
    all_words = decoder.softmax.log_prob(features.flatten(0, 1)).view(5, 3, 11)
    wanted = -all_words.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    wanted[1, 2] = 0
    assert_close(losses, wanted)
    assert not losses.requires_grad
    assert_close(decoder_loss(decoder, features, targets, **CHOICES), wanted.sum() / 14)


def test_an_ignored_target_has_no_gradient(window):
    features, targets = window
    features.requires_grad_()
    decoder_loss(adaptive(), features, targets, **CHOICES).backward()
    assert (features.grad == 0).all(-1).nonzero().tolist() == [[1, 2]]


def test_nothing_but_ignored_targets_is_a_loss_of_zero(window):
    features, targets = window
    loss = decoder_loss(adaptive(), features, targets.fill_(IGNORED), **CHOICES)
    loss.backward()
    assert loss == 0


def test_a_linear_decoders_loss_is_token_loss(window):
    decoder = nn.Linear(17, 11)
    weights = decoder.weight, decoder.bias
    assert torch.equal(decoder_loss(decoder, *window, **CHOICES), token_loss(*window, *weights, **CHOICES))
    assert torch.equal(decoder_losses(decoder, *window, **CHOICES), token_losses(*window, *weights, **CHOICES))


def test_half_a_kb_of_text_is_learned_by_heart_with_cutoffs():
    tokens = torch.frombuffer(bytearray(Path(__file__).read_bytes()[:500]), dtype=torch.uint8)
    net = partial(NET, cutoffs=[100])
    model = language_model(net, optimizer=partial(torch.optim.Adam, betas=(0.7, 0.9)), lr=0.02)
    data = TinyText(tokens=tokens, batch_size=4, bptt=25, vocab_size=128)
    data.val_dataloader = lambda: BPTTLoader(tokens, batch_size=4, bptt=25, keep_tail=True)
    run = trainer(40, check_val_every_n_epoch=40)
    run.fit(model, data)
    assert run.callback_metrics["val/perplexity"] < 1.5


def test_scores_are_of_a_distribution_over_all_words_also_with_cutoffs():
    model = built(language_model(partial(NET, cutoffs=[3, 7])))
    (found,) = trainer().test(model, data := TinyText(eval_batch_size=1), verbose=False)
    text = torch.from_numpy(data.test_dataloader().tokens)
    log_probabilities = model.net.decoder(model(text[:-1, None]).dropped).squeeze(1)
    loss = -log_probabilities.gather(1, text[1:, None]).mean()
    assert found["test/loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_a_net_with_cutoffs_continues_a_text_with_its_likeliest_words():
    net = built(language_model(partial(NET, cutoffs=[3, 7]))).net
    first, second = net.decoder(net(torch.tensor([[4]])).dropped[-1]).squeeze().topk(2).indices.tolist()
    assert next(generate(net, torch.tensor([4]), temperature=0)) == first
    assert next(generate(net, torch.tensor([4]), temperature=0, banned=(first,))) == second
