from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from src.datamodules.text.bptt_loader import BPTTLoader
from src.datamodules.text.files import TextFiles
from src.models.text.awd_lstm import AWDLSTM
from src.models.text.neural_cache import NeuralCache
from src.report.page import render
from src.report.parts import Plot, Prose, Table
from src.report.text.losses import losses_of
from src.report.text.view import TextView
from tests.support.make_data import text_settings, wikitext_lines
from tests.support.tiny import trainer
from tests.support.tiny_text import SPEC, built, language_model, stream

SIZES = {"embedding_size": 16, "hidden_size": 17, "num_layers": 2}
RATES = dict.fromkeys(("embedding", "input", "hidden", "output", "weight"), 0.0)
NET = partial(AWDLSTM, **SIZES, **{f"{name}_dropout": rate for name, rate in RATES.items()})
LINEAR, ADAPTIVE = {"tie_weights": True, "cutoffs": None}, {"tie_weights": False, "cutoffs": [9, 20]}
CHARACTERS = {"tokenizer": "char", "batch_size": 20, "bptt": 40}
WORDS = ["king", "queen", "castle", "garden", "a", "the", "&", '"quoted"', "<b>"]


def text_of(num_words, seed):
    """wikitext_lines with words in the place of some of its syllables."""
    text = " \n ".join(wikitext_lines(num_words, seed)) + "\n"
    for number, word in enumerate(WORDS):
        text = text.replace(f"wo{number} ", f"{word} ")
    return text.replace("@-@0", "<eos-like>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for seed, (split, count) in enumerate({"train": 3000, "valid": 300, "test": 600}.items()):
        (folder / f"{split}.txt").write_text(text_of(count, seed))
    return folder


@pytest.fixture(scope="module")
def data(folder):
    def make(**changes):
        files = {f"{split}_files": [f"{split}.txt"] for split in ("train", "valid", "test")}
        unused = {
            "split": "end",
            "valid_fraction": 0.05,
            "test_fraction": 0.05,
            "column": None,
            "address": None,
            "checksums": {},
        }
        settings = text_settings(**changes)
        here = {"data_dir": str(folder.parent), "folder": folder.name, "cache_dir": str(folder / "cache")}
        data = TextFiles(**here, **files, **unused, published=None, **settings)
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def scored(data, decoder=LINEAR, **choices):
    """A model with its first weights, and the scores of its test."""
    model = language_model(partial(NET, **decoder), **choices)
    torch.manual_seed(0)
    (scores,) = trainer().test(model, data, verbose=False)
    return model.eval(), scores


def view(**changes):
    choices = {"max_tokens": 100_000, "num_sentences": 3, "prompts": ["king", "The &"], "temperatures": [0.5, 1.0]}
    return TextView(**(choices | {"length": 9, "words": None} | changes))


def parts_of(sections, kind):
    return {part.title: part for section in sections for part in section.parts if isinstance(part, kind)}


@pytest.fixture(scope="module")
def words(data):
    """A model of words, its data and its scores."""
    datamodule = data()
    return scored(datamodule)[0], datamodule


@pytest.fixture(scope="module")
def sections(words):
    return view().sections(*words)


@pytest.mark.parametrize(
    ("choices", "decoder"),
    [
        ({}, LINEAR),
        ({}, ADAPTIVE),
        (CHARACTERS, LINEAR),
        ({"documents": True, "document_start": "^ *é"}, LINEAR),
    ],
    ids=["words", "adaptive", "characters", "documents"],
)
def test_the_mean_of_all_losses_is_the_test_s(data, choices, decoder):
    datamodule = data(**choices)
    model, scores = scored(datamodule, decoder)
    text = losses_of(model, datamodule, 100_000)
    assert int(text.counted.sum()) == text.total == len(datamodule.tokens["test"]) - 1
    assert text.mean == pytest.approx(scores["test/loss"], abs=1e-5)


def test_no_more_tokens_are_read_than_asked_for_but_one_window_always(words):
    model, datamodule = words
    assert losses_of(model, datamodule, 64).losses.shape == (21, 3)  # windows of 7 in 3 tracks
    assert losses_of(model, datamodule, 1).losses.shape == (7, 3)


def test_without_a_test_split_the_validation_s_is_read():
    class Held(pl.LightningDataModule):
        spec, tokens = SPEC, {"valid": stream(41).numpy()}

        def val_dataloader(self):
            return BPTTLoader(self.tokens["valid"], batch_size=2, bptt=4, keep_tail=True)

    assert losses_of(built(), Held(), 100).counted.sum() == 40


def test_ranks_count_the_likelier_tokens(words):
    model, datamodule = words
    text = losses_of(model, datamodule, 100_000)
    batch = next(iter(datamodule.test_dataloader()))
    probabilities = model.net.decoder(model(batch[0]).dropped).softmax(-1).flatten(0, 1)
    own = probabilities[torch.arange(21), batch[1].flatten(), None]
    assert text.ranks[:21].tolist() == (probabilities > own).sum(1).tolist()
    torch.testing.assert_close(torch.from_numpy(text.confidences[:21]), probabilities.max(1).values)


def test_losses_are_computed_in_the_test_s_precision(words, monkeypatch):
    model, datamodule = words
    seen = []

    def token_losses(batch, state=None):
        seen.append(torch.is_autocast_enabled("cpu"))
        with torch.autocast("cpu", enabled=False):  # not every CPU has an LSTM in bf16
            return type(model).token_losses(model, batch, state)

    monkeypatch.setattr(model, "token_losses", token_losses)
    monkeypatch.setattr(datamodule, "trainer", trainer(precision="bf16-mixed"))
    losses_of(model, datamodule, 1)
    monkeypatch.setattr(datamodule, "trainer", None)
    losses_of(model, datamodule, 1)
    assert seen == [True, False]


def test_a_section_says_how_many_tokens_it_looked_at(words, sections):
    total = len(words[1].tokens["test"]) - 1
    assert sections[0].note.startswith(f"All {total} tokens of the test split, read in 3 tracks side by side: loss ")
    some = view(max_tokens=64).sections(*words)[1].note
    assert some.startswith(f"63 of {total} tokens of the test split, from the start of each track, read in 3 tracks")


def test_plots_have_a_description_and_a_width_that_fits_a_phone(sections):
    plots = parts_of(sections, Plot)
    assert list(plots) == ["Perplexity by position", "Perplexity by token frequency", "Where the loss comes from"]
    assert all(plot.alt and plot.source.get_figwidth() * 96 < 358 for plot in plots.values())


def test_each_prompt_is_continued_at_each_temperature(sections):
    rows = parts_of(sections, Table)["9 tokens after each prompt"].rows
    assert [row[:2] for row in rows] == [("king", "0.5"), ("king", "1"), ("The &", "0.5"), ("The &", "1")]


def test_a_sample_is_what_the_model_draws_at_that_temperature_with_the_row_s_number_as_seed(words, sections):
    model, datamodule = words
    rows = parts_of(sections, Table)["9 tokens after each prompt"].rows
    for seed, (prompt, temperature, text) in enumerate(rows):
        tokens = datamodule.encode(prompt)
        drawn = model.continued(tokens, 9, temperature=float(temperature), seed=seed)
        assert text == datamodule.decode([*tokens, *drawn]).replace("\n", " ↵ ")


def test_guesses_are_counted_by_the_true_token_s_rank(words, sections):
    ranks = losses_of(*words, 100_000).ranks
    shares = [row[1] for row in parts_of(sections, Table)["Is the next token among its guesses?"].rows]
    assert shares == [f"{(ranks < number).mean():.1%}" for number in (1, 5, 10)]
    assert len(set(shares)) == 3


def test_two_calls_give_one_page(words, sections):
    assert render("page", "", view().sections(*words)) == render("page", "", sections)


@pytest.mark.parametrize("choices", [CHARACTERS, CHARACTERS | {"tokenizer": "byte"}], ids=["char", "byte"])
def test_characters_get_a_map_in_place_of_neighbours(data, choices):
    datamodule = data(**choices)
    (*_, last) = view().sections(scored(datamodule)[0], datamodule)
    (plot,) = last.parts
    assert plot.title == "A map of the tokens"
    assert {"w", "é" if choices["tokenizer"] == "char" else "w"} <= {
        text.get_text() for text in plot.source.axes[0].texts
    }


def test_byte_pairs_are_shown_as_their_text(data):
    pytest.importorskip("tokenizers")
    datamodule = data(tokenizer="bpe", max_vocab_size=300, batch_size=10, bptt=20)
    sections = view(words=["king"]).sections(scored(datamodule)[0], datamodule)
    (row,) = parts_of(sections, Table)["Nearest neighbours"].rows
    assert row[0] == "␣king"
    assert "Ġ" not in render("page", "", sections)


def test_a_cache_is_left_out_and_the_note_says_so(data):
    datamodule = data()
    model, _ = scored(datamodule, cache=NeuralCache(size=5, sharpness=0.5, share=0.2))
    assert "without neural cache" in view().sections(model, datamodule)[0].note


def test_losses_that_are_not_numbers_are_reported(data):
    datamodule = data()
    model, _ = scored(datamodule)
    torch.nn.init.constant_(model.net.embedding.weight, float("nan"))
    (section,) = view().sections(model, datamodule)
    (prose,) = section.parts
    assert isinstance(prose, Prose)
    assert "NaN" in prose.text


@pytest.mark.parametrize("changes", [{"max_tokens": 0}, {"prompts": []}, {"prompts": [""]}, {"temperatures": [-1.0]}])
def test_choices_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match="a view of text "):
        view(**changes)
