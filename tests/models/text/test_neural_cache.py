import math

import pytest
import torch

from src.models.text.neural_cache import NeuralCache
from tests.support.tiny import trainer
from tests.support.tiny_text import TinyText, language_model

TIME, BATCH, SIZE, VOCAB = 7, 2, 3, 5


@pytest.fixture
def stream():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(TIME, BATCH, SIZE, generator=generator)
    targets = torch.randint(VOCAB, (TIME, BATCH), generator=generator)
    log_probabilities = torch.randn(TIME, BATCH, VOCAB, generator=generator).log_softmax(-1)
    return features, targets, log_probabilities


def of_targets(log_probabilities, targets):
    return log_probabilities.gather(-1, targets[..., None]).squeeze(-1)


def slow_distribution(features, targets, log_probabilities, time, row, *, size, sharpness, share):
    """The whole vocabulary's probabilities at one step, word by word as in the paper."""
    model = log_probabilities[time, row].exp()
    past = range(max(0, time - size), time)
    if not past:
        return model
    weights = [math.exp(sharpness * float(features[time, row] @ features[i, row])) for i in past]
    cache = torch.zeros(VOCAB)
    for weight, i in zip(weights, past, strict=True):
        cache[targets[i, row]] += weight / sum(weights)
    return (1 - share) * model + share * cache


@pytest.mark.parametrize("size", [1, 3, 100])
def test_it_equals_the_papers_sum_step_by_step(stream, size):
    features, targets, log_probabilities = stream
    choices = {"size": size, "sharpness": 0.7, "share": 0.3}
    mixed = NeuralCache(**choices).mixed(features, targets, of_targets(log_probabilities, targets))
    for time in range(TIME):
        for row in range(BATCH):
            whole = slow_distribution(*stream, time, row, **choices)
            assert whole.sum() == pytest.approx(1.0, abs=1e-6)
            assert mixed[time, row].exp() == pytest.approx(float(whole[targets[time, row]]), abs=1e-6)


def test_windows_remember_what_came_before_them(stream):
    features, targets, log_probabilities = stream
    model = of_targets(log_probabilities, targets)
    whole = NeuralCache(size=4, sharpness=0.5, share=0.2).mixed(features, targets, model)
    cache = NeuralCache(size=4, sharpness=0.5, share=0.2)
    parts = [cache.mixed(features[a:b], targets[a:b], model[a:b]) for a, b in ((0, 2), (2, 3), (3, 7))]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_after_a_reset_nothing_is_remembered(stream):
    features, targets, log_probabilities = stream
    model = of_targets(log_probabilities, targets)
    cache = NeuralCache(size=4, sharpness=0.5, share=0.2)
    first = cache.mixed(features, targets, model)
    cache.reset()
    torch.testing.assert_close(cache.mixed(features, targets, model), first)


def test_without_a_share_the_model_speaks_alone(stream):
    features, targets, log_probabilities = stream
    model = of_targets(log_probabilities, targets)
    torch.testing.assert_close(NeuralCache(size=4, sharpness=0.5, share=0.0).mixed(features, targets, model), model)


def test_a_repeated_word_becomes_likelier():
    features, targets = torch.ones(4, 1, 2), torch.full((4, 1), 3)
    model = torch.full((4, 1), math.log(0.1))
    mixed = NeuralCache(size=2, sharpness=1.0, share=0.5).mixed(features, targets, model)
    assert mixed.exp().flatten().tolist() == pytest.approx([0.1, 0.55, 0.55, 0.55])  # 0.5 x 0.1 + 0.5 x 1


@pytest.mark.parametrize("choice", [{"size": 0}, {"sharpness": -1.0}, {"share": 1.0}])
def test_a_choice_out_of_range_is_refused(choice):
    (name,) = choice
    with pytest.raises(ValueError, match=rf"the cache needs .*{name}={choice[name]}"):
        NeuralCache(**({"size": 5, "sharpness": 0.5, "share": 0.1} | choice))


def test_a_model_scores_its_test_with_the_cache_and_its_validation_without():
    def scores(cache):
        run = trainer(1)
        torch.manual_seed(0)
        model = language_model(cache=cache)
        run.fit(model, data := TinyText())
        val = float(run.callback_metrics["val/loss"])
        (tested,) = run.test(model, data, verbose=False)
        return val, tested["test/loss"]

    (val, test), (cached_val, cached_test) = scores(None), scores(NeuralCache(size=50, sharpness=1.0, share=0.3))
    assert cached_val == val
    assert cached_test != test
