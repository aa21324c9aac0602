"""Each variant makes steps; the plain model learns; tokens come from files or from Zipf's law."""

import json
import lzma

import numpy as np
import pytest
import torch

from scripts import benchmark_language
from scripts.benchmark_language import VARIANTS, as_tracks, main, plain_perplexity, read_streams, tokens_per_second


@pytest.fixture
def small(monkeypatch):
    """Small nets, few words, short windows."""
    composed = benchmark_language.composed
    sizes = ["model.net.embedding_size=6", "model.net.hidden_size=7", "datamodule.bptt=3"]
    monkeypatch.setattr(benchmark_language, "composed", lambda overrides: composed([*overrides, *sizes]))
    for name, value in {"VOCAB_SIZE": 11, "BATCH": 2, "TIME": 4}.items():
        monkeypatch.setattr(benchmark_language, name, value)


@pytest.mark.parametrize("name", ["plain", "lstm", "qrnn"])
def test_a_variant_trains_and_is_timed(name, small):
    stream = np.arange(60) % 11
    found = tokens_per_second(name, stream=stream, steps={name: 2})
    assert found.keys() == {"tokens/s", "peak_mb"}
    assert found["tokens/s"] > 0


def test_the_plain_model_learns_a_pattern_in_the_time_it_gets(small):
    pattern, ticks = np.arange(900) % 11, iter(range(10_000))
    few, seen = plain_perplexity(2, pattern, pattern[:100], clock=lambda: next(ticks))
    many, seen_of_many = plain_perplexity(200, pattern, pattern[:100], clock=lambda: next(ticks))
    assert (seen, seen_of_many) == (6, 199 * 6)  # the clock is read once before and once in each step of 2 x 3 tokens
    assert many < few


def test_tracks_follow_one_another_down_the_columns():
    assert as_tracks(np.arange(7), 2).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_words_are_numbered_by_their_frequency_in_the_first_text(tmp_path):
    with lzma.open(tmp_path / "train.xz", "wt") as file:
        file.write("b a b\na b c\n")
    (tmp_path / "valid.txt").write_text("c b new\n")
    train, valid = read_streams([tmp_path / "train.xz", tmp_path / "valid.txt"])
    assert train.tolist() == [0, 1, 0, 2, 1, 0, 3, 2]
    assert valid.tolist() == [3, 0, 0, 2]  # an unknown word is the first


def test_without_files_words_follow_zipfs_law():
    [stream] = read_streams([])
    counts = np.bincount(stream)
    assert len(stream) == 100_000
    assert 1.7 < counts[0] / counts[1] < 2.3


def test_the_last_line_has_the_ratios(monkeypatch, capsys):
    speeds = {"tokens/s": dict(zip(VARIANTS, [2.0, 6.0, 8.0, 1.0, 2.5, 3.0], strict=True))}
    monkeypatch.setattr(
        benchmark_language,
        "medians_of_turns",
        lambda names, measure, repeats: speeds | {"peak_mb": dict.fromkeys(names, 7.2)},
    )
    main(["--quick"])
    result = json.loads(capsys.readouterr().out)
    ratios = {key: value for key, value in result.items() if key.startswith("ratio")}
    assert ratios == {"ratio": 3.0, "ratio_qrnn": 4.0, "ratio_paper_lstm": 2.5, "ratio_paper_qrnn": 3.0}
    assert result["peak_mb"]["lstm"] == 7


def test_the_tied_decoder_shares_the_embeddings_weight(small):
    model = benchmark_language.plain_model(benchmark_language.composed(["experiment=wikitext2_small"]))
    assert model.decoder.weight is model.embedding.weight
    assert model(torch.zeros(4, 2, dtype=torch.long)).shape == (4, 2, 11)
