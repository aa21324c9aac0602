from types import SimpleNamespace

import pytest
import torch

from src.datamodules.text.base import TextData
from src.datamodules.text.bptt_loader import IGNORED
from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.tokenization import decode
from tests.support.make_data import text_settings


class Numbers(TextData):
    """0 1 2 ... in text, as many as the split has."""

    set_name = "numbers"
    sizes = {"train": 200, "valid": 50, "test": 23}

    def sources(self):
        return {split: TextSource([TextFile(self.folder / split)]) for split in self.sizes}


@pytest.fixture
def make(tmp_path):
    """Makes the set with changed settings, prepared and set up."""
    for split, size in Numbers.sizes.items():
        (tmp_path / split).write_text(" ".join(map(str, range(size))) + "\n")

    def make(**changes):
        data = Numbers(cache_dir=str(tmp_path / "cache"), **text_settings(**changes))
        data.folder = tmp_path
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def test_batches_are_windows_of_tokens_and_their_targets(make):
    data = make()
    tokens, targets = next(iter(data.train_dataloader()))
    assert tokens.shape == targets.shape == (7, 4)
    assert decode(tokens[:, 0], data.spec) == "0 1 2 3 4 5 6"
    assert decode(targets[:, 0], data.spec) == "1 2 3 4 5 6 7"
    assert decode(tokens[:, 1], data.spec).startswith("50 51")


def test_validation_and_test_see_every_token(make):
    data = make()
    for loader, size in ((data.val_dataloader(), 51), (data.test_dataloader(), 24)):
        windows = list(loader)
        assert windows[0][0].shape == (7, 3)
        counted = torch.cat([targets[targets != IGNORED] for _, targets in windows])
        assert len(counted) == size - 1


def test_with_documents_all_batches_say_where_they_begin(make, tmp_path):
    (tmp_path / "train").write_text("one two\nthree\n" * 40)
    data = make(documents=True, document_start="^")
    line_end = data.spec["vocabulary"].index("<eos>")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        tokens = torch.from_numpy(loader.tokens.astype("int64"))
        begins = torch.cat([torch.tensor([True]), tokens[:-1] == line_end])
        found = torch.cat([is_start for _, _, is_start in loader])
        places = torch.arange(found.numel()).view(found.shape[::-1]).T.clamp(max=len(tokens) - 1)
        assert torch.equal(found, begins[places])


def test_a_pattern_alone_asks_for_no_documents(make):
    assert len(next(iter(make(document_start="^").train_dataloader()))) == 2


def test_a_wrong_pattern_is_refused_at_once(make):
    with pytest.raises(ValueError, match="document_start must be a regular expression, got '\\('"):
        make(documents=True, document_start="(")


def test_only_training_windows_vary(make):
    data = make(bptt=20, vary_bptt=True, batch_size=1)
    assert len({len(tokens) for tokens, _ in data.train_dataloader()}) > 2
    assert len({len(tokens) for tokens, _ in data.val_dataloader()}) == 1


def test_the_spec_is_plain_data_for_the_net_and_for_generation(make):
    spec = make().spec
    assert sorted(spec) == ["tokenizer", "vocab_size", "vocabulary"]
    assert spec["vocab_size"] == len(spec["vocabulary"]) == 202
    assert spec["tokenizer"] == {"name": "whitespace"}


def test_vocabulary_choices_reach_the_vocabulary(make):
    assert make(max_vocab_size=5, specials=["<pad>"]).spec["vocabulary"] == ["<unk>", "<eos>", "<pad>", "0", "1"]


def test_a_rank_reads_its_own_tracks(make):
    data = make(batch_size=2)
    whole = next(iter(make().train_dataloader()))[0]
    for rank in (0, 1):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        assert torch.equal(next(iter(data.train_dataloader()))[0], whole[:, 2 * rank : 2 * rank + 2])


def test_bptt_may_be_set_for_the_next_loaders(make):
    data = make()
    data.bptt = 11
    assert len(next(iter(data.train_dataloader()))[0]) == 11
    assert len(next(iter(data.val_dataloader()))[0]) == 11


def test_a_bptt_that_was_found_is_kept_with_the_checkpoint(make):
    data, again = make(), make()
    data.bptt = 11
    again.load_state_dict(data.state_dict())
    assert again.bptt == 11


def test_another_bptt_in_the_config_holds_against_the_checkpoints(make):
    data, again = make(), make(bptt=5)
    data.bptt = 11
    again.load_state_dict(data.state_dict())
    assert again.bptt == 5


def test_setup_reads_what_prepare_data_built(make, tmp_path):
    make()
    data = Numbers(cache_dir=str(tmp_path / "cache"), **text_settings())
    data.folder = tmp_path
    data.setup("fit")
    assert len(data.tokens["train"]) == 201


def test_setup_before_prepare_data_says_so(make, tmp_path):
    data = Numbers(cache_dir=str(tmp_path / "empty"), **text_settings())
    data.folder = tmp_path
    with pytest.raises(FileNotFoundError, match="call prepare_data before setup"):
        data.setup("fit")


def test_a_text_shorter_than_one_window_is_refused(make):
    with pytest.raises(ValueError, match=r"shorter than one window: 201 tokens in 4 tracks are 50 each; .* \(51\)"):
        make(bptt=51).train_dataloader()
    assert len(make(bptt=50).train_dataloader()) == 1


def test_a_text_with_fewer_tokens_than_tracks_is_refused(make):
    with pytest.raises(ValueError, match="24 tokens are too few for a window: batch_size=24"):
        make(eval_batch_size=24).test_dataloader()


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size", "bptt"])
def test_numbers_below_one_are_refused(make, name):
    with pytest.raises(ValueError, match=f"must be positive, got .*{name}=0"):
        make(**{name: 0})


def test_an_unknown_tokenizer_is_refused(make):
    with pytest.raises(ValueError, match=r"datamodule\.tokenizer must be one of whitespace, .*, got spacy"):
        make(tokenizer="spacy")


def test_without_a_batch_size_the_tracks_fit_the_text(make, capsys):
    data = make(batch_size=None, bptt=5)
    assert data.batch_size == 4  # of 200 tokens
    assert "batches of 4 tracks, to fit a training text of 40 windows of 5 tokens\n" in capsys.readouterr().out
    assert len(data.train_dataloader()) == 10
    assert make(batch_size=None, bptt=1).batch_size == 16
    assert make(batch_size=None, bptt=150).batch_size == 1


def test_a_window_length_that_a_search_has_found_leaves_the_tracks_as_they_are(make):
    data = make(batch_size=None, bptt=5)
    data.bptt = 50
    data.load()
    assert data.batch_size == 4
