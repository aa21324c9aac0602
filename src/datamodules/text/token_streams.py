"""Encodes each text of a set once, into one long memory map of token numbers that all later runs read."""

import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from src.core.output import show
from src.core.progress import progress_bar
from src.datamodules.cache import CacheFolder, cache_key
from src.datamodules.text.documents import cut_at_documents
from src.datamodules.text.splits import Texts
from src.datamodules.text.tokenization import UNKNOWN, encoder, without_torchtext
from src.datamodules.text.vocabulary import build_spec

VERSION = 1  # raise it when the same text and choices give other tokens


class TokenStreams:
    """One stream of tokens for each of the sources, with the vocabulary of `train`, in a folder of the cache.

    The key of the folder has the choices, and the name, size and time of change of each file. Memory holds a piece of
    the text and the vocabulary, however long the text.

    Args:
        name: of the set, for messages and the folder.
        sources: split -> text.
        vocabulary: arguments of `build_spec`.
        document_start: a pattern; if given, the positions of the documents' first tokens are stored too, see
            `cut_at_documents`.
    """

    def __init__(
        self,
        name: str,
        sources: Mapping[str, Texts],
        *,
        cache_dir: str,
        tokenizer: str,
        vocabulary: dict[str, Any],
        document_start: str | None = None,
    ) -> None:
        self.name = name
        self.sources = sources
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.document_start = document_start
        self.cache = CacheFolder(Path(cache_dir, "text", f"{name}-{tokenizer}-{self._key()}"))

    def _key(self) -> str:
        library = version("tokenizers") if self.tokenizer == "bpe" else ""
        parts = [f"{VERSION} {library}", self.tokenizer, json.dumps(self.vocabulary, sort_keys=True)]
        parts += [f"{split}\0{source.fingerprint()}" for split, source in self.sources.items()]
        parts += [] if self.document_start is None else [f"documents\0{self.document_start}"]
        return cache_key(parts)

    def build(self) -> None:
        """Encode all texts, unless the cache has them.

        Raises ValueError for a split without text, for text that is not UTF-8 (except with tokenizer=byte), or for a
        training text that should have documents and has only one.
        """
        self.cache.build(self._write)

    def _write(self, folder: Path) -> None:
        with progress_bar("bytes") as bar:
            texts = (text for text, _ in self._texts("train", bar, f"{self.name}: vocabulary"))
            spec = build_spec(self.tokenizer, texts, **self.vocabulary)
            counts = {split: self._encode(split, spec, folder, bar) for split in self.sources}
        (folder / "spec.json").write_text(json.dumps(without_torchtext(spec)))
        (folder / "counts.json").write_text(json.dumps(counts))
        numbers = ", ".join(f"{split} {count['tokens']:,}" for split, count in counts.items())
        show(f"{self.name}: {numbers} tokens, {spec['vocab_size']:,} different ones")
        if self.document_start is not None:
            numbers = ", ".join(f"{split} {count['documents']:,}" for split, count in counts.items())
            show(f"{self.name}: {numbers} documents")

    def _texts(self, split: str, bar: Progress, description: str) -> Iterator[tuple[str, bool]]:
        """Read the text in pieces, and whether a file, or a part of the text, begins with each."""
        task = bar.add_task(description, total=None)
        for piece in self.sources[split].pieces():
            # tokenizer=byte takes any byte: those that are not UTF-8 pass through as surrogates.
            text = piece.content.decode("utf-8", "surrogateescape") if self.tokenizer == "byte" else piece.text
            yield text, piece.is_start
            bar.advance(task, len(piece.content))

    def _encode(self, split: str, spec: dict[str, Any], folder: Path, bar: Progress) -> dict[str, int]:
        encode = encoder(spec)
        unknown = spec["vocabulary"].index(UNKNOWN) if UNKNOWN in spec["vocabulary"] else -1
        counts = {"tokens": 0, "unknown": 0}
        starts_path = os.devnull if self.document_start is None else folder / f"{split}.starts"
        with (folder / f"{split}.bin").open("wb") as file, open(starts_path, "wb") as starts:
            for text, begins in self._parts(split, bar):
                if begins:
                    counts["documents"] = counts.get("documents", 0) + 1
                    starts.write(np.int64(counts["tokens"]).data)
                tokens = encode(text)
                counts["tokens"] += len(tokens)
                counts["unknown"] += int(np.count_nonzero(tokens == unknown))
                file.write(tokens.astype(_dtype(spec)).data)
        if not counts["tokens"]:
            raise ValueError(f"the {split} text is empty: {self.sources[split]}")
        if split == "train" and counts.get("documents") == 1:
            raise ValueError(
                "datamodule.documents=true needs several documents, but the training text is only one: "
                f"{self.sources[split]}; correct datamodule.document_start, or choose documents=false"
            )
        return counts

    def _parts(self, split: str, bar: Progress) -> Iterator[tuple[str, bool]]:
        texts = self._texts(split, bar, f"{self.name}: {split}")
        if self.document_start is None:
            return ((text, False) for text, _ in texts)
        return cut_at_documents(texts, self.document_start)

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the spec, and the tokens of each split in a memory map. Raises FileNotFoundError before `build`."""
        spec = self.cache.read_json("spec.json")
        return spec, {split: np.memmap(self.cache.file(f"{split}.bin"), _dtype(spec), "r") for split in self.sources}

    def starts(self) -> dict[str, np.ndarray]:
        """Return the positions of the documents' first tokens in each split, in a memory map; {} if not asked for."""
        if self.document_start is None:
            return {}
        return {split: np.memmap(self.cache.file(f"{split}.starts"), np.int64, "r") for split in self.sources}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return, for each split, the numbers of `tokens`, of `unknown` ones, and of `documents` if asked for."""
        return self.cache.read_json("counts.json")


def _dtype(spec: dict[str, Any]) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if spec["vocab_size"] <= 1 << 16 else np.uint32
