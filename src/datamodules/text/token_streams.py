"""Encodes the texts of a set once, each into one long memory map of token numbers that all later runs read."""

import hashlib
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import DownloadColumn, Progress, ProgressColumn, Task
from rich.text import Text

from src.core.files import make_whole
from src.core.progress import progress_bar
from src.datamodules.text.documents import cut_at_documents
from src.datamodules.text.source import TextSource
from src.datamodules.text.tokenization import UNKNOWN, encoder, without_torchtext
from src.datamodules.text.vocabulary import build_spec

VERSION = 1  # to be raised when the same text and choices give other tokens


class TokenStreams:
    """One stream of tokens for each of the sources; the vocabulary is that of `train`.

    Lies in a folder in cache_dir, which is there wholly or not at all. Its name has a key made of all that changes its
    content: the choices, and each file's name, size and time of change. Needs memory for a piece of the text and for
    the vocabulary, however long the text. vocabulary: the arguments of `build_spec`.
    document_start: with it, the numbers of the documents' first tokens are kept, too (see `cut_at_documents`).
    """

    def __init__(
        self,
        name: str,
        sources: dict[str, TextSource],
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
        self.folder = Path(cache_dir, "text", f"{name}-{tokenizer}-{self._key()}")

    def _key(self) -> str:
        library = version("tokenizers") if self.tokenizer == "bpe" else ""
        facts = [f"{VERSION} {library}", self.tokenizer, json.dumps(self.vocabulary, sort_keys=True)]
        facts += [f"{split}\0{source.facts()}" for split, source in self.sources.items()]
        facts += [] if self.document_start is None else [f"documents\0{self.document_start}"]
        return hashlib.sha256("\0\0".join(facts).encode()).hexdigest()[:16]

    def build(self) -> None:
        """Encode, unless that is done.

        Raises ValueError for a split without text, text that is not UTF-8 (but for tokenizer=byte), or a training text
        that should have documents and is one.
        """
        make_whole(self.folder, self._build)

    def _build(self, folder: Path) -> None:
        with progress_bar(DownloadColumn(), MegabytesPerSecond()) as bar:
            self._write(folder, bar)

    def _write(self, folder: Path, bar: Progress) -> None:
        texts = (text for text, _ in self._texts("train", bar, f"{self.name}: vocabulary"))
        spec = build_spec(self.tokenizer, texts, **self.vocabulary)
        counts = {split: self._encode(split, spec, folder, bar) for split in self.sources}
        (folder / "spec.json").write_text(json.dumps(without_torchtext(spec)))
        (folder / "counts.json").write_text(json.dumps(counts))
        numbers = ", ".join(f"{split} {count['tokens']:,}" for split, count in counts.items())
        print(f"{self.name}: {numbers} tokens, {spec['vocab_size']:,} different ones", flush=True)
        if self.document_start is not None:
            numbers = ", ".join(f"{split} {count['documents']:,}" for split, count in counts.items())
            print(f"{self.name}: {numbers} documents", flush=True)

    def _texts(self, split: str, bar: Progress, description: str) -> Iterator[tuple[str, bool]]:
        """The text in pieces, and whether a file begins with each."""
        task = bar.add_task(description, total=None)
        for piece in self.sources[split].pieces():
            # Any byte is fine for tokenizer=byte: what is no UTF-8 passes through as surrogates.
            text = piece.content.decode("utf-8", "surrogateescape") if self.tokenizer == "byte" else piece.text
            yield text, piece.offset == 0
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
                "datamodule.documents=true needs a text of several, and the training text begins but one: "
                f"{self.sources[split]}; correct datamodule.document_start, or choose documents=false"
            )
        return counts

    def _parts(self, split: str, bar: Progress) -> Iterator[tuple[str, bool]]:
        texts = self._texts(split, bar, f"{self.name}: {split}")
        if self.document_start is None:
            return ((text, False) for text, _ in texts)
        return cut_at_documents(texts, self.document_start)

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The spec, and each split's tokens, in a memory map. Raises FileNotFoundError before `build`."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} does not exist: call prepare_data before setup")
        spec = json.loads((self.folder / "spec.json").read_text())
        tokens = {}
        for split, count in self.counts().items():
            path = self.folder / f"{split}.bin"
            if path.stat().st_size != count["tokens"] * _dtype(spec)().itemsize:
                raise ValueError(f"{path} should hold {count['tokens']:,} tokens; delete {self.folder} to encode again")
            tokens[split] = np.memmap(path, _dtype(spec), "r")
        return spec, tokens

    def starts(self) -> dict[str, np.ndarray]:
        """The numbers of the documents' first tokens in each split, in a memory map; {} unless they were asked for."""
        if self.document_start is None:
            return {}
        return {split: np.memmap(self.folder / f"{split}.starts", np.int64, "r") for split in self.sources}

    def counts(self) -> dict[str, dict[str, int]]:
        """For each split its `tokens`, how many of them are `unknown`, and its `documents` if asked; after `build`."""
        return json.loads((self.folder / "counts.json").read_text())


def _dtype(spec: dict[str, Any]) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if spec["vocab_size"] <= 1 << 16 else np.uint32


class MegabytesPerSecond(ProgressColumn):
    """How fast the last pieces were read."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed / 1e6:.1f} MB/s", style="cyan")
