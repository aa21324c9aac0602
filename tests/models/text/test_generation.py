from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn

from src.callbacks.text.samples import TextSamples
from src.models.text.generation import generate, next_token
from src.models.text.recurrent_net import LanguageFeatures
from tests.support.tiny import trainer
from tests.support.tiny_text import TinyLanguageNet, TinyText, built, language_model

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).log_softmax(-1)  # shares 0.64, 0.24, 0.09, 0.03


def drawn(logits=LOGITS, rows=20_000, temperature=1.0, top_k=None, top_p=None):
    """The share of each token among many draws."""
    generator = torch.Generator().manual_seed(0)
    choices = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    tokens = next_token(logits.expand(rows, -1), generator=generator, **choices)
    return torch.bincount(tokens, minlength=logits.shape[-1]) / rows


class Counter(nn.Module):
    """Its state counts the tokens read so far; the likeliest next token is that count, modulo the vocabulary."""

    def __init__(self, vocab_size=7):
        super().__init__()
        self.vocab_size = vocab_size
        self.decoder = nn.Linear(vocab_size, vocab_size, bias=False)
        nn.init.eye_(self.decoder.weight)
        self.windows = []

    def forward(self, tokens, state=None):
        self.windows.append(tokens.flatten().tolist())
        seen = (state or 0) + len(tokens)
        features = nn.functional.one_hot(torch.full((len(tokens), 1), seen % self.vocab_size), self.vocab_size) * 5.0
        return LanguageFeatures(features, features, seen)


def test_tokens_are_drawn_by_their_probability():
    assert drawn().tolist() == pytest.approx(LOGITS.exp()[0].tolist(), abs=0.01)


def test_a_low_temperature_sharpens():
    assert drawn(temperature=0.5).tolist() == pytest.approx((2 * LOGITS).softmax(-1)[0].tolist(), abs=0.01)


def test_temperature_zero_takes_the_likeliest():
    assert drawn(temperature=0, rows=5).tolist() == [1, 0, 0, 0]


def test_top_k_keeps_the_k_likeliest():
    assert drawn(top_k=2).tolist() == pytest.approx([0.7311, 0.2689, 0, 0], abs=0.01)  # 1 / (1 + e^-1)


def test_top_k_beyond_the_vocabulary_keeps_all():
    assert torch.equal(drawn(top_k=9), drawn())


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.65, 2), (0.9, 3), (1.0, 4)])
def test_top_p_keeps_the_likeliest_that_reach_the_share(top_p, kept):
    assert int((drawn(top_p=top_p) > 0).sum()) == kept


def test_top_p_follows_each_rows_own_order():
    assert drawn(LOGITS.flip(1), top_p=0.5).tolist() == [0, 0, 0, 1]


def test_the_prompt_is_read_once_and_the_state_carried():
    net = Counter()
    assert list(islice(generate(net, torch.tensor([4, 4, 4]), temperature=0), 5)) == [3, 4, 5, 6, 0]
    assert net.windows == [[4, 4, 4], [3], [4], [5], [6]]


def test_a_seed_gives_one_text():
    texts = [list(islice(generate(Counter(), torch.tensor([1]), temperature=5.0, seed=s), 20)) for s in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_a_banned_token_is_never_drawn():
    assert list(islice(generate(Counter(), torch.tensor([1]), temperature=0, banned=(1,)), 1)) != [1]


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="at least one token"):
        next(generate(Counter(), torch.tensor([], dtype=torch.int64)))


@pytest.mark.parametrize("choice", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_a_choice_out_of_range_is_refused(choice):
    (name,) = choice
    with pytest.raises(ValueError, match=rf"sampling needs .*{name}={choice[name]}"):
        next(generate(Counter(), torch.tensor([1]), **choice))


def test_a_model_continues_tokens_in_evaluation_mode_and_goes_on_training():
    model = built(language_model(net=partial(TinyLanguageNet, dropout=0.5)))
    model.train()
    first = model.continued([1, 2], 6, temperature=0)
    assert model.continued([1, 2], 6, temperature=0) == first
    assert len(first) == 6
    assert model.net.training


def test_samples_do_not_change_the_training(tmp_path):
    def weights(*callbacks):
        torch.manual_seed(0)
        run = trainer(2, *callbacks)
        run.fit(model := language_model(net=partial(TinyLanguageNet, dropout=0.5)), data := TinyText())
        return [parameter.clone() for parameter in model.parameters()], data

    samples = TextSamples(path=str(tmp_path / "samples.txt"), prompts=["12"], length=4, temperature=1.0, top_p=None)
    TinyText.encode = lambda self, text: [int(digit) for digit in text]
    TinyText.decode = lambda self, tokens: "".join(map(str, tokens))
    try:
        without, with_samples = weights()[0], weights(samples)[0]
    finally:
        del TinyText.encode, TinyText.decode
    assert all(torch.equal(a, b) for a, b in zip(without, with_samples, strict=True))
    lines = (tmp_path / "samples.txt").read_text().splitlines()
    assert [line.split(":")[0][:7] for line in lines] == ["epoch 0", "epoch 1"]
    assert all(line.split(": ")[1].startswith("12") and len(line.split(": ")[1]) >= 6 for line in lines)


def test_samples_need_data_that_encode():
    with pytest.raises(TypeError, match="needs a datamodule with encode"):
        trainer(1, TextSamples(path="x", prompts=["a"], length=1, temperature=1.0, top_p=None)).fit(
            language_model(), TinyText()
        )


@pytest.mark.parametrize("choice", [{"prompts": []}, {"length": 0}])
def test_samples_without_prompt_or_length_are_refused(choice):
    choices = {"path": "x", "prompts": ["a"], "length": 1, "temperature": 1.0, "top_p": None}
    with pytest.raises(ValueError, match="needs a prompt and length >= 1"):
        TextSamples(**(choices | choice))
