"""Compares the training speed of the language nets, with all dropouts and penalties, and a plain torch.nn.LSTM model.

    python -m scripts.benchmark_language [--quick] [--tokens FILE] [--repeats 5]

Each variant trains on the same windows (20 tracks of 70 tokens, 33,278 words) and the variants take turns, each turn in
a new process. `lstm` and `qrnn` have the settings of their experiments: small (embedding 128, 2 x 256) and paper
(400, LSTM 3 x 1150, QRNN 4 x 1550). `plain` is what one would write with torch alone: nn.Embedding, nn.LSTM,
nn.Linear, F.cross_entropy over the whole window in float32, Adam, clipped gradients, a state that is carried and
detached. It has the sizes of `lstm` (the last layer as wide as the embedding, whose weight the decoder shares) and no
dropout.

--tokens names a text whose words are the tokens (wiki.train.tokens, plain or .xz); without it they are drawn by Zipf's
law. With a second text (wiki.valid.tokens) and --plain-for 245 the script shows the perplexity that the plain model
reaches in that many seconds, to compare with experiment=wikitext2_small. The last line is one JSON object; `ratio` is
ours over plain for the small LSTM.
"""

import json
import lzma
import math
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from scripts.shared.processes import medians_of_turns
from src.core.check import composed
from src.core.output import show
from src.models.text.language_model import mapped
from src.models.text.token_loss import token_loss
from src.training.trainer import keep_freed_memory, multiplies_in_bf16

VOCAB_SIZE, BATCH, TIME = 33_278, 20, 70
# The experiment whose settings each variant has.
VARIANTS = {
    "plain": "wikitext2_small",
    "lstm": "wikitext2_small",
    "qrnn": "wikitext2_small_qrnn",
    "paper_plain": "wikitext2_lstm",
    "paper_lstm": "wikitext2_lstm",
    "paper_qrnn": "wikitext2_qrnn",
}
RATIOS = {
    "ratio": ("lstm", "plain"),
    "ratio_qrnn": ("qrnn", "plain"),
    "ratio_paper_lstm": ("paper_lstm", "paper_plain"),
    "ratio_paper_qrnn": ("paper_qrnn", "paper_plain"),
}
Step = Callable[[Tensor, Tensor], Any]


class Plain(nn.Module):
    """An LSTM language model without any of the tricks; it carries its state."""

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
        """Turn tokens (time, batch) into logits (time, batch, vocab_size)."""
        hidden, body = self.body(self.embedding(tokens), self.states[0])
        hidden, last = self.last(hidden, self.states[1])
        self.states = [tuple(part.detach() for part in state) for state in (body, last)]
        return self.decoder(hidden)


def plain_model(cfg: DictConfig) -> Plain:
    """Build the plain model in the sizes of an experiment."""
    return Plain(**{name: cfg.model.net[name] for name in ("embedding_size", "hidden_size", "num_layers")})


def plain_step(model: Plain, cfg: DictConfig) -> Step:
    """Make the training step of a plain model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(tokens: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), cfg.trainer.gradient_clip_val)
        optimizer.step()
        return loss

    return step


def our_step(cfg: DictConfig) -> Step:
    """Make the training step of an experiment's net, as LanguageModel has it."""
    keep_freed_memory()
    net = instantiate(cfg.model.net, _convert_="all")(VOCAB_SIZE)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    state: Any = None

    def step(tokens: Tensor, targets: Tensor) -> Tensor:
        nonlocal state
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_in_bf16("cpu"), cache_enabled=False):
            features = net(tokens, state)
            decoder = net.decoder.weight, net.decoder.bias
            loss = token_loss(features.dropped, targets, *decoder, chunk_size=cfg.model.loss_chunk)
            dropped, raw = features.dropped.float(), features.raw.float()
            changes = raw[1:] - raw[:-1]
            penalty = cfg.model.alpha * dropped.pow(2).mean() + cfg.model.beta * changes.pow(2).mean()
        (loss + penalty).backward()
        state = mapped(Tensor.detach, features.state)
        nn.utils.clip_grad_norm_(net.parameters(), cfg.trainer.gradient_clip_val)
        optimizer.step()
        return loss

    return step


def step_of(name: str) -> Step:
    """Make the training step of a variant."""
    cfg = composed([f"experiment={VARIANTS[name]}"])
    return plain_step(plain_model(cfg), cfg) if name.endswith("plain") else our_step(cfg)


def plain_perplexity(
    seconds: float, train: np.ndarray, valid: np.ndarray, *, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, int]:
    """Train the small plain model for some seconds; returns its validation perplexity and the tokens it saw."""
    torch.manual_seed(0)
    cfg = composed([f"experiment={VARIANTS['plain']}"])
    bptt, model = cfg.datamodule.bptt, plain_model(cfg)
    step, tracks, seen, started = plain_step(model, cfg), as_tracks(train, BATCH), 0, clock()
    while clock() - started < seconds:
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
    """Cut a stream into tracks of one length: (time, batch)."""
    whole = stream[: len(stream) // batch_size * batch_size].astype("int64")
    return torch.from_numpy(whole).view(batch_size, -1).t().contiguous()


def tokens_per_second(name: str, *, stream: np.ndarray, steps: dict[str, int]) -> dict[str, float]:
    """Measure one turn of a variant: a step to warm up, then the median of `steps` steps, and the peak memory.

    Args:
        name: the variant.
        stream: the numbers of the tokens.
        steps: the number of timed steps, by variant.
    """
    torch.manual_seed(0)
    step, tracks = step_of(name), as_tracks(stream, BATCH)
    seconds = []
    for number in range(steps[name] + 1):
        window = tracks[number * TIME : (number + 1) * TIME + 1]
        started = time.perf_counter()
        step(window[:-1], window[1:])
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tokens/s": BATCH * TIME / statistics.median(seconds[1:]), "peak_mb": peak}


def read_words(path: Path) -> list[str]:
    """Read the words of a text file, plain or .xz, with <eos> at the end of each line."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        return file.read().replace("\n", " <eos> ").split()


def read_streams(paths: Sequence[Path]) -> list[np.ndarray]:
    """Number the words of each file by their frequency in the first; without files, draw numbers by Zipf's law."""
    if not paths:
        ranks = np.arange(1, VOCAB_SIZE + 1)
        return [np.random.default_rng(0).choice(VOCAB_SIZE, 100_000, p=1 / ranks / (1 / ranks).sum())]
    texts = [read_words(path) for path in paths]
    numbers = {word: number for number, (word, _) in enumerate(Counter(texts[0]).most_common(VOCAB_SIZE))}
    return [np.array([numbers.get(word, 0) for word in text]) for text in texts]


def main(arguments: Sequence[str] | None = None) -> None:
    """Take turns, show each and the medians."""
    parser = command_line("benchmark_language", __doc__)
    parser.add_argument("--quick", action="store_true", help="two turns of few steps: under 3 minutes")
    parser.add_argument("--tokens", type=Path, nargs="*", default=[], help="training text, then validation text")
    parser.add_argument("--plain-for", type=float, help="only train the plain model, for so many seconds")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each variant")
    args = parser.parse_args(arguments)
    streams = read_streams(args.tokens)
    if args.plain_for:
        perplexity, seen = plain_perplexity(args.plain_for, *streams)
        show(json.dumps({"plain_perplexity": round(perplexity, 1), "tokens": seen, "seconds": args.plain_for}))
        return
    repeats, small_steps, paper_steps = (2, 6, 2) if args.quick else (args.repeats, 12, 4)
    steps = {name: paper_steps if name.startswith("paper") else small_steps for name in VARIANTS}
    stream = streams[0][: BATCH * (TIME * (small_steps + 2) + 1)]
    medians = medians_of_turns(VARIANTS, partial(tokens_per_second, stream=stream, steps=steps), repeats=repeats)
    speed = medians["tokens/s"]
    result: dict[str, Any] = {key: round(speed[ours] / speed[plain], 2) for key, (ours, plain) in RATIOS.items()}
    result["tokens_per_second"] = {name: round(value) for name, value in speed.items()}
    result["peak_mb"] = {name: round(value) for name, value in medians["peak_mb"].items()}
    show(json.dumps(result | hardware()))


if __name__ == "__main__":
    main()
