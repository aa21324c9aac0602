"""Encode generated text in a file and say how much the process grew, and how fast it was.

python scripts/check_text_memory.py                    # 200 MB of text under 300 MB of growth
python scripts/check_text_memory.py --megabytes 24 --limit 40 --tokenizer basic_english
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.token_streams import TokenStreams


def write_text(path: Path, megabytes: int) -> None:
    """Lines of words drawn by Zipf's law from 30,000."""
    random = np.random.default_rng(0)
    words = np.array([f"w{number:x}" for number in random.permutation(30_000)])
    chances = 1 / np.arange(10, 30_010)
    with path.open("w") as file:
        while file.tell() < megabytes * 1_000_000:
            drawn = words[random.choice(len(words), 20_000, p=chances / chances.sum())]
            file.writelines(" ".join(drawn[start : start + 50]) + "\n" for start in range(0, len(drawn), 50))


def peak_mb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, megabytes: int, tokenizer: str) -> dict[str, float]:
    """Growth in MB and words/s of making the vocabulary and encoding."""
    for split, size in (("train", megabytes), ("valid", 1)):
        write_text(folder / f"{split}.txt", size)
    sources = {split: TextSource([TextFile(folder / f"{split}.txt")]) for split in ("train", "valid")}
    limit = 8192 if tokenizer == "bpe" else None
    vocabulary = {"vocab": "own", "min_freq": 1, "max_vocab_size": limit, "specials": []}
    streams = TokenStreams("generated", sources, cache_dir=str(folder), tokenizer=tokenizer, vocabulary=vocabulary)
    before, start = peak_mb(), time.perf_counter()
    with open(sys.stderr.fileno(), "w", closefd=False) as sys.stdout:
        streams.build()
    sys.stdout = sys.__stdout__
    seconds = time.perf_counter() - start
    tokens = sum(count["tokens"] for count in streams.counts().values())
    return {"growth_mb": round(peak_mb() - before, 1), "tokens": tokens, "tokens_per_second": round(tokens / seconds)}


def main() -> None:
    """Exit status 1 if the growth is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--limit", type=float, default=300, help="MB of growth")
    parser.add_argument("--tokenizer", default="whitespace")
    parser.add_argument("--folder", type=Path, help="for the text and its tokens; a temporary one if not given")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = measure(Path(folder), arguments.megabytes, arguments.tokenizer)
    print(json.dumps(found) if arguments.json else "\n".join(f"{name:20}{value:,}" for name, value in found.items()))
    sys.exit(int(found["growth_mb"] > arguments.limit))


if __name__ == "__main__":
    main()
