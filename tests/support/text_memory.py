"""Encodes generated text in a folder and prints by how much the process grew."""

import json
import resource
import sys
from contextlib import redirect_stdout
from pathlib import Path

from scripts.benchmark_scaling.data import write_text
from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.token_streams import TokenStreams

NUM_TOKENS = {"train": 4_000_000, "valid": 100_000}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder):
    for split, num_tokens in NUM_TOKENS.items():
        write_text(folder / f"{split}.txt", num_tokens)
    sources = {split: TextSource([TextFile(folder / f"{split}.txt")]) for split in NUM_TOKENS}
    vocabulary = {"vocab": "own", "min_freq": 1, "max_vocab_size": None, "specials": []}
    streams = TokenStreams("generated", sources, cache_dir=str(folder), tokenizer="whitespace", vocabulary=vocabulary)
    before = peak_mb()
    with redirect_stdout(sys.stderr):
        streams.build()
    return {"growth_mb": peak_mb() - before, "tokens": sum(count["tokens"] for count in streams.counts().values())}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
