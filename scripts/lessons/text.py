"""Lesson 7: backpropagation through time, and QRNN beside LSTM, on Shakespeare."""

import pandas as pd

from scripts.lessons.bench import Bench, Job, Lesson
from scripts.lessons.figures import draw_dots, draw_scores, mark_sizes, panels
from src.report.figures import line_style

LENGTHS = (10, 20, 40, 80, 160)
NETS = {"LSTM": ["model/net=awd_lstm"], "QRNN": ["model/net=qrnn"]}


def bptt(bench: Bench) -> Lesson:
    """Measure speed, memory, gradients and perplexity by the length of the windows, on the same tokens."""
    lengths = bench.values("datamodule.bptt", LENGTHS)
    ladder = f"callbacks.bptt_finder.ladder=[{','.join(lengths)}]"
    searches = bench.train("lesson/text", {"search": ["callbacks=bptt_find", ladder]})
    jobs = bench.train("lesson/text", {length: [f"datamodule.bptt={length}"] for length in lengths})
    figure, (*axes, growth) = panels(4)
    scores = {
        "train/tokens_per_second": "tokens a second",
        "memory/peak_mb": "peak memory, MB",
        "val/perplexity": "validation perplexity",
    }
    numbers = draw_scores(axes, jobs, scores, "bptt")
    axes[0].set_ylim(0, None)
    gradients = [gradient_growth(job) for job in searches]
    for number, (job, found) in enumerate(zip(searches, gradients, strict=True)):
        growth.plot(list(found), list(found.values()), "o", label=f"seed {job.seed}", **line_style(number))
    mark_sizes(growth, [float(length) for length in lengths], "bptt")
    growth.set(title="gradient norm (shortest: 1)", ylim=(0, None))
    growth.legend(frameon=False)
    return Lesson(figure, {**numbers, "gradient norm over the shortest's, by seed": gradients})


def gradient_growth(job: Job) -> dict[int, float]:
    """Read, by length, the bptt finder's largest gradient norm over that of the shortest."""
    found = pd.read_csv(job.run.bptt_finder_csv)
    return dict(zip(found["bptt"].tolist(), found["gradient_growth"].tolist(), strict=True))


def lstm_qrnn(bench: Bench) -> Lesson:
    """Train an LSTM and a QRNN of the same sizes in turns on the same tokens."""
    jobs = bench.train("lesson/text", NETS)
    figure, (speed, score) = panels(2)
    numbers = {
        "train/tokens_per_second": draw_dots(speed, jobs, "train/tokens_per_second", "tokens a second"),
        "test/perplexity": draw_dots(score, jobs, "test/perplexity", "test perplexity"),
    }
    for axes in (speed, score):
        axes.set_ylim(0, None)
    return Lesson(figure, numbers)
