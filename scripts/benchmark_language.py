"""Trained tokens a second of the language nets, with all dropouts and penalties, beside a plain torch.nn.LSTM model.

    python -m scripts.benchmark_language [--quick] [--tokens FILE] [--repeats 5]

Each variant trains on the same windows (20 tracks of 70 tokens, vocabulary 33,278), in turns, each turn in a process of
its own. `plain` is what one would write: nn.Embedding, nn.LSTM, nn.Linear, F.cross_entropy over the whole window in
float32, Adam, clipped gradients, the state carried and detached. It has the sizes of `lstm`, the last layer as wide as
the embedding and the decoder's weight the embedding's, but no dropout. `lstm` and `qrnn` are ours as their experiments
train them. Sizes: small (embedding 128, 2 x 256) and paper (400, LSTM 3 x 1150, QRNN 4 x 1550).

--tokens: a text whose words are the tokens (wiki.train.tokens, plain or .xz); without it they are drawn by Zipf's law.
With a second text (wiki.valid.tokens) and --plain-for 245 it prints what perplexity the plain model comes to in so many
seconds, to set beside experiment=wikitext2_small. The last line is one JSON object: `ratio` is ours over plain for the
small LSTM.
"""

import argparse
import json
import lzma
import math
import os
import platform
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.text.awd_lstm import AWDLSTM
from src.models.text.language_model import mapped
from src.models.text.qrnn import QRNN
from src.models.text.token_loss import token_loss
from src.training.trainer import keep_freed_memory

Choices = dict[str, Any]
VOCAB_SIZE, BATCH, TIME = 33_278, 20, 70
SMALL: Choices = {"embedding_size": 128, "hidden_size": 256, "num_layers": 2}
PAPER: Choices = {"embedding_size": 400, "hidden_size": 1150, "num_layers": 3}
PAPER_QRNN: Choices = {"embedding_size": 400, "hidden_size": 1550, "num_layers": 4}
SMALL_DROPOUT: Choices = {
    "embedding_dropout": 0.02,
    "input_dropout": 0.25,
    "hidden_dropout": 0.15,
    "output_dropout": 0.1,
}
PAPER_DROPOUT: Choices = {
    "embedding_dropout": 0.1,
    "input_dropout": 0.65,
    "hidden_dropout": 0.3,
    "output_dropout": 0.4,
}
DECODER: Choices = {"tie_weights": True, "cutoffs": None}
ALPHA, BETA = 2.0, 1.0
CHUNK = 512  # conf/model/language_model.yaml's
QRNN_CHOICES = {"pooling": "fo", "window": 2, "zoneout": 0.1, "dense": False, "weight_dropout": 0.1}

Step = Callable[[Tensor, Tensor], Any]


class Plain(nn.Module):
    """An LSTM language model without any of the tricks, its state carried."""

    def __init__(self, *, embedding_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, embedding_size)
        self.body = nn.LSTM(embedding_size, hidden_size, num_layers - 1)
        self.last = nn.LSTM(hidden_size, embedding_size)
        self.decoder = nn.Linear(embedding_size, VOCAB_SIZE)
        self.decoder.weight = self.embedding.weight
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.states: list[Any] = [None, None]

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (time, batch).  Returns logits (time, batch, vocab_size)."""
        hidden, body = self.body(self.embedding(tokens), self.states[0])
        hidden, last = self.last(hidden, self.states[1])
        self.states = [tuple(part.detach() for part in state) for state in (body, last)]
        return self.decoder(hidden)


def plain(sizes: Choices) -> Step:
    """A training step of the plain model."""
    return plain_step(Plain(**sizes))


def plain_step(model: Plain) -> Step:
    """A training step of this model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(tokens: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        return loss

    return step


def plain_perplexity(seconds: float, train: np.ndarray, valid: np.ndarray, bptt: int = 35) -> tuple[float, int]:
    """The validation perplexity of the small plain model after so many seconds of training, and the tokens it saw."""
    torch.manual_seed(0)
    model = Plain(**SMALL)
    step, tracks, seen, started = plain_step(model), as_tracks(train, BATCH), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        start = seen // BATCH % (len(tracks) - bptt - 1)
        step(tracks[start : start + bptt], tracks[start + 1 : start + bptt + 1])
        seen += BATCH * bptt
    model.states, total, tracks = [None, None], 0.0, as_tracks(valid, 10)
    with torch.inference_mode():
        for start in range(0, len(tracks) - 1, bptt):
            window = tracks[start : start + bptt + 1]
            total += float(F.cross_entropy(model(window[:-1]).flatten(0, 1), window[1:].flatten(), reduction="sum"))
    return math.exp(total / tracks[1:].numel()), seen


def as_tracks(stream: np.ndarray, batch_size: int) -> Tensor:
    """(time, batch): the stream cut into tracks of one length."""
    whole = stream[: len(stream) // batch_size * batch_size].astype("int64")
    return torch.from_numpy(whole).view(batch_size, -1).t().contiguous()


def ours(net: nn.Module) -> Step:
    """A training step of one of our nets, as LanguageModel makes it."""
    keep_freed_memory()
    decoder: Any = net.decoder
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    state: Any = None

    def step(tokens: Tensor, targets: Tensor) -> Tensor:
        nonlocal state
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            features = net(tokens, state)
            loss = token_loss(features.dropped, targets, decoder.weight, decoder.bias, chunk_size=CHUNK)
            dropped, raw = features.dropped.float(), features.raw.float()
            penalty = ALPHA * dropped.pow(2).mean() + BETA * (raw[1:] - raw[:-1]).pow(2).mean()
        (loss + penalty).backward()
        state = mapped(Tensor.detach, features.state)
        nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        optimizer.step()
        return loss

    return step


VARIANTS: dict[str, Callable[[], Step]] = {
    "plain": lambda: plain(SMALL),
    "lstm": lambda: ours(AWDLSTM(VOCAB_SIZE, **SMALL, **SMALL_DROPOUT, weight_dropout=0.2, **DECODER)),
    "qrnn": lambda: ours(QRNN(VOCAB_SIZE, **SMALL, **SMALL_DROPOUT, **QRNN_CHOICES, **DECODER)),
    "paper_plain": lambda: plain(PAPER),
    "paper_lstm": lambda: ours(AWDLSTM(VOCAB_SIZE, **PAPER, **PAPER_DROPOUT, weight_dropout=0.5, **DECODER)),
    "paper_qrnn": lambda: ours(QRNN(VOCAB_SIZE, **PAPER_QRNN, **PAPER_DROPOUT, **QRNN_CHOICES, **DECODER)),
}


def measure(name: str, stream: np.ndarray, steps: int) -> dict[str, float]:
    """One turn: a step to warm up, then `steps` timed ones; tokens a second of the median step, and peak memory."""
    torch.manual_seed(0)
    step = VARIANTS[name]()
    tracks = as_tracks(stream, BATCH)
    seconds = []
    for number in range(steps + 1):
        window = tracks[number * TIME : (number + 1) * TIME + 1]
        started = time.perf_counter()
        step(window[:-1], window[1:])
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens_per_second": BATCH * TIME / statistics.median(seconds[1:]), "peak_mb": peak}


def read_words(path: Path) -> list[str]:
    """The words of a text file, <eos> at each line's end."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        return file.read().replace("\n", " <eos> ").split()


def read_streams(paths: list[Path]) -> list[np.ndarray]:
    """Token numbers of each file, by frequency in the first; drawn by Zipf's law if there is no file."""
    if not paths:
        ranks = np.arange(1, VOCAB_SIZE + 1)
        return [np.random.default_rng(0).choice(VOCAB_SIZE, 100_000, p=1 / ranks / (1 / ranks).sum())]
    texts = [read_words(path) for path in paths]
    numbers = {word: number for number, (word, _) in enumerate(Counter(texts[0]).most_common(VOCAB_SIZE))}
    return [np.array([numbers.get(word, 0) for word in text]) for text in texts]


def main() -> None:
    """Take turns, print each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two turns of few steps: under 3 minutes")
    parser.add_argument("--tokens", type=Path, nargs="*", default=[], help="training text, then validation text")
    parser.add_argument("--plain-for", type=float, help="only: train plain for so many seconds, print its perplexity")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    repeats, small_steps, paper_steps = (2, 6, 2) if args.quick else (args.repeats, 12, 4)
    streams = read_streams(args.tokens)
    if args.plain_for:
        perplexity, seen = plain_perplexity(args.plain_for, streams[0], streams[1])
        print(json.dumps({"plain_perplexity": round(perplexity, 1), "tokens": seen, "seconds": args.plain_for}))
        return
    stream = streams[0][: BATCH * (TIME * (small_steps + 2) + 1)]
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in args.only}
    for turn in range(repeats):
        for name in args.only:
            # Its own process: memory settings and peaks of one must not serve the others.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                steps = paper_steps if name.startswith("paper") else small_steps
                turns[name].append(process.submit(measure, name, stream, steps).result())
        print(
            f"turn {turn}: " + ", ".join(f"{n} {t[-1]['tokens_per_second']:,.0f}" for n, t in turns.items()), flush=True
        )
    speed, memory = (
        {name: statistics.median(turn[key] for turn in of_variant) for name, of_variant in turns.items()}
        for key in ("tokens_per_second", "peak_mb")
    )
    pairs = {"ratio": ("lstm", "plain"), "ratio_qrnn": ("qrnn", "plain")}
    pairs |= {"ratio_paper_lstm": ("paper_lstm", "paper_plain"), "ratio_paper_qrnn": ("paper_qrnn", "paper_plain")}
    known = {key: names for key, names in pairs.items() if set(names) <= set(speed)}
    result: dict[str, Any] = {key: round(speed[a] / speed[b], 2) for key, (a, b) in known.items()}
    result |= {"tokens_per_second": {name: round(value) for name, value in speed.items()}}
    result |= {"peak_mb": {name: round(value) for name, value in memory.items()}}
    cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    print(json.dumps(result | {"hardware": f"{cpu}, {os.cpu_count()} cores", "torch": torch.__version__}))


if __name__ == "__main__":
    main()
