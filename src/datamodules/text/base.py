"""What all text sets share: tokens, loaders, and the facts that a language model needs."""

from functools import cached_property
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl

from src.datamodules.text.bptt_loader import BPTTLoader
from src.datamodules.text.documents import NOWHERE, check_pattern
from src.datamodules.text.source import TextSource
from src.datamodules.text.token_streams import TokenStreams
from src.datamodules.text.tokenization import check_name, decode, encode
from src.datamodules.text.vocabulary import check_vocab


class TextData(pl.LightningDataModule):
    """Base of the text sets. A subclass has a `set_name` and finds its texts in `sources`.

    Batches are (tokens, targets), int64 (time, batch): see BPTTLoader. Validation and test see every token; of the
    targets there, those that only fill the last window are -100.

    batch_size, eval_batch_size: tracks per device, for training and for the rest.  bptt: tokens of a window; may be set
    at any time and holds for loaders made from then on.  vary_bptt: windows of random length while training.
    documents: batches have a third part, bool: where a document begins, that the net may begin anew. Each file begins
    one, and so does each match of document_start: see documents.
    tokenizer: see tokenization.  vocab, min_freq, max_vocab_size, specials: see vocabulary.
    """

    set_name: str

    def __init__(
        self,
        *,
        cache_dir: str,
        batch_size: int,
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
    ) -> None:
        super().__init__()
        if min(batch_size, eval_batch_size, bptt) < 1:
            raise ValueError(
                "datamodule.batch_size, eval_batch_size and bptt must be positive, "
                f"got {batch_size=}, {eval_batch_size=}, {bptt=}"
            )
        self.cache_dir = cache_dir
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.bptt = self._chosen_bptt = bptt
        self.vary_bptt = vary_bptt
        self.document_start = check_pattern(document_start or NOWHERE) if documents else None
        self.tokenizer = check_name(tokenizer)
        self.vocab = check_vocab(vocab, tokenizer)
        self.vocabulary = {"min_freq": min_freq, "max_vocab_size": max_vocab_size, "specials": list(specials)}
        self.seed = seed
        self.tokens: dict[str, np.ndarray] = {}
        self.starts: dict[str, np.ndarray] = {}

    def sources(self) -> dict[str, TextSource]:
        """The texts of the splits `train`, `valid` and `test`."""
        raise NotImplementedError

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

    def setup(self, stage: str) -> None:
        if not self.tokens:
            self._spec, self.tokens = self.streams.read()
            self.starts = self.streams.starts()

    @property
    def spec(self) -> dict[str, Any]:
        """`vocab_size`, `vocabulary` and `tokenizer`, for the net and for generation; valid after `setup`."""
        return self._spec

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's tokens; valid after `setup`."""
        return encode(text, self.spec)

    def decode(self, tokens: list[int]) -> str:
        """The text of token numbers; valid after `setup`."""
        return decode(tokens, self.spec)

    def train_dataloader(self) -> BPTTLoader:
        loader = self._loader("train", self.batch_size, vary=self.vary_bptt)
        if loader.track_length < self.bptt:
            raise ValueError(
                f"the training text is shorter than one window: {len(self.tokens['train']):,} tokens in "
                f"{loader.num_tracks} tracks are {loader.track_length:,} each; lower datamodule.batch_size or bptt "
                f"({self.bptt})"
            )
        return loader

    def val_dataloader(self) -> BPTTLoader:
        return self._loader("valid", self.eval_batch_size, keep_tail=True)

    def test_dataloader(self) -> BPTTLoader:
        return self._loader("test", self.eval_batch_size, keep_tail=True)

    def _loader(self, split: str, batch_size: int, vary: bool = False, keep_tail: bool = False) -> BPTTLoader:
        trainer = self.trainer
        return BPTTLoader(
            self.tokens[split],
            starts=self.starts.get(split),
            batch_size=batch_size,
            bptt=self.bptt,
            vary=vary,
            keep_tail=keep_tail,
            seed=self.seed,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
        )

    def state_dict(self) -> dict[str, int]:
        return {"bptt": self.bptt, "chosen_bptt": self._chosen_bptt}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        # What a search found goes on; what the config now says otherwise than before holds.
        if state_dict["chosen_bptt"] == self._chosen_bptt:
            self.bptt = state_dict["bptt"]
