"""What all text sets share: tokens, loaders, and the spec for a language model."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pytorch_lightning.utilities import rank_zero_only

from src.core.output import show
from src.core.ranks import share
from src.datamodules.base import DataModule, fitting_batch_size
from src.datamodules.folds import fold_rule
from src.datamodules.held_out import drawn
from src.datamodules.text.bptt_loader import BPTTLoader
from src.datamodules.text.documents import NO_MATCH, check_pattern
from src.datamodules.text.splits import Texts
from src.datamodules.text.token_streams import TokenStreams
from src.datamodules.text.tokenization import check_name, decode, encode
from src.datamodules.text.vocabulary import check_vocab

LARGEST_BATCH = 20  # tracks, where none are given


class TextData(DataModule):
    """Base of the text sets. A subclass has a `set_name` and finds its texts in `sources`.

    Batches are (tokens, targets), int64 (time, batch), see BPTTLoader. Validation and test see every token. Their last
    window is padded; the targets there are -100.

    The spec has `vocab_size`, `vocabulary` and `tokenizer`.

    Args:
        cache_dir: the encoded tokens are written below it.
        batch_size: tracks per device in training. None: 20, or fewer, so that an epoch has ten windows or more; it
            depends on the length of the training text and on bptt alone, and `load` sets it.
        global_batch_size: tracks of all devices together, in place of batch_size. Any number of devices that divides
            it takes the same tokens in each step.
        eval_batch_size: tracks per device in validation and test.
        bptt: tokens of a window. It may be set at any time; loaders that are made later use it.
        vary_bptt: train on windows of random length.
        documents: batches have a third part, bool: where a document begins, so that the net can reset its state.
        document_start: a pattern; each match begins a document, see `cut_at_documents`. Each file begins one too.
        tokenizer: see the module tokenization.
        vocab: see `build_spec`, also for `min_freq`, `max_vocab_size` and `specials`.
        seed: of the random window lengths.
        fold: number of the part of the training text to test on; see `split_by_fold`. None: none.
        num_folds: how many there are.
    """

    set_name: str

    def __init__(
        self,
        *,
        cache_dir: str,
        batch_size: int | None,
        global_batch_size: int | None = None,
        eval_batch_size: int,
        bptt: int,
        vary_bptt: bool,
        documents: bool,
        document_start: str | None,
        tokenizer: Literal["whitespace", "basic_english", "torchtext", "char", "byte", "bpe"],
        vocab: Literal["own", "torchtext"],
        min_freq: int,
        max_vocab_size: int | None,
        specials: list[str],
        seed: int,
        fold: int | None = None,
        num_folds: int = 5,
    ) -> None:
        super().__init__(seed, fold, num_folds)
        if min(1 if batch_size is None else batch_size, eval_batch_size, bptt) < 1:
            raise ValueError(
                "datamodule.batch_size, eval_batch_size and bptt must be positive, "
                f"got {batch_size=}, {eval_batch_size=}, {bptt=}"
            )
        self.cache_dir = cache_dir
        self.batch_size = batch_size
        self.global_batch_size = global_batch_size
        self.eval_batch_size = eval_batch_size
        self.bptt = self._chosen_bptt = bptt
        self.vary_bptt = vary_bptt
        self.document_start = check_pattern(document_start or NO_MATCH) if documents else None
        self.tokenizer = check_name(tokenizer)
        self.vocab = check_vocab(vocab, tokenizer)
        self.vocabulary = {"min_freq": min_freq, "max_vocab_size": max_vocab_size, "specials": list(specials)}
        self.tokens: dict[str, np.ndarray] = {}
        self.starts: dict[str, np.ndarray] = {}

    def sources(self) -> Mapping[str, Texts]:
        """Return the texts of the splits `train`, `valid` and `test`."""
        raise NotImplementedError

    def rule(self) -> dict[str, Any] | None:
        """Return the arguments that hold text out of the training text; None if the splits are apart anyway."""
        return None

    @cached_property
    def streams(self) -> TokenStreams:
        """The texts as they are found at first use, once in each process."""
        return TokenStreams(
            self.set_name,
            self.sources(),
            cache_dir=self.cache_dir,
            tokenizer=self.tokenizer,
            vocabulary={"vocab": self.vocab, **self.vocabulary},
            document_start=self.document_start,
        )

    def prepare_data(self) -> None:
        self.streams.build()

    def load(self) -> dict[str, Any]:
        spec, self.tokens = self.streams.read()
        rule = self.rule()
        if self.fold is not None:
            rule = {**(rule or {}), **fold_rule(self.fold, self.num_folds)}
            rank_zero_only(show)(f"fold {self.fold} of {self.num_folds} tests on {len(self.tokens['test']):,} tokens")
        if rule is not None:
            counts = np.array([len(tokens) for tokens in self.tokens.values()])
            self.held_out = {split: drawn(rule, counts) for split in ("valid", "test")}
        self.contents = self.streams.cache.contents()
        self.starts = self.streams.starts()
        if self.batch_size is None:
            windows = len(self.tokens["train"]) // self._chosen_bptt
            self.batch_size = fitting_batch_size(windows, LARGEST_BATCH, smallest=1)
            if self.batch_size < LARGEST_BATCH and self.global_batch_size is None:
                text = f"a training text of {windows:,} windows of {self._chosen_bptt} tokens"
                rank_zero_only(show)(f"batches of {self.batch_size} tracks, to fit {text}")
        return spec

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens; valid after `setup`."""
        return encode(text, self.spec)

    def decode(self, tokens: list[int]) -> str:
        """Return the text of token numbers; valid after `setup`."""
        return decode(tokens, self.spec)

    def loader(self, split: str) -> BPTTLoader:
        is_train, ranks = split == "train", self.ranks()
        assert self.batch_size is not None  # since `load`
        tracks = share(self.batch_size, self.global_batch_size, ranks["world_size"])
        loader = BPTTLoader(
            self.tokens[split],
            starts=self.starts.get(split),
            batch_size=tracks if is_train else self.eval_batch_size,
            bptt=self.bptt,
            vary=is_train and self.vary_bptt,
            keep_tail=not is_train,
            seed=self.seed,
            **ranks,
        )
        if is_train and loader.track_length < self.bptt:
            raise ValueError(
                f"the training text is shorter than one window: {len(self.tokens['train']):,} tokens in "
                f"{loader.num_tracks} tracks are {loader.track_length:,} each; lower datamodule.batch_size or bptt "
                f"({self.bptt})"
            )
        return loader

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "bptt": self.bptt, "chosen_bptt": self._chosen_bptt}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        # Keep what a search found, unless the config has changed since.
        if state_dict["chosen_bptt"] == self._chosen_bptt:
            self.bptt = state_dict["bptt"]
