"""What a net gets of a text: the first windows of training, track by track."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from src.report.parts import Section, Table

NUM_TRACKS = 5
DOCUMENT = " \u00b6 "  # where the net forgets what came before


def sections(datamodule: Any, batches: Sequence[Sequence[Any]]) -> list[Section]:
    """Show some tracks of the first batches, a column of the page for each batch.

    Args:
        datamodule: a text set: it has a `spec`, and its `decode` turns token numbers into text.
        batches: of training: (tokens, targets), or with is_start as a third part; (time, batch) each.
    """
    windows = [[part.cpu().numpy() for part in batch] for batch in batches]
    num_tracks = windows[0][0].shape[1]
    tracks = range(0, num_tracks, -(-num_tracks // NUM_TRACKS))
    rows = [[track + 1, *(_cell(datamodule, window, track) for window in windows)] for track in tracks]
    head = ["track", *(f"window {number + 1}, {len(window[0])} tokens" for number, window in enumerate(windows))]
    note = (
        f"The text is read in {num_tracks} tracks at once; the page shows {len(rows)} of them. Each window "
        "continues the one before it, and the net remembers what it has read. It learns to predict the next token, so "
        "that the last one of a window is followed by the first of the next. "
    )
    note += f"The vocabulary has {datamodule.spec['vocab_size']:,} tokens."
    if len(windows[0]) > 2:
        note += f" The net forgets at each{DOCUMENT.rstrip()}, the beginning of a document."
    return [Section("Windows to train on", [Table("", head, rows)], note)]


def _cell(datamodule: Any, window: Sequence[np.ndarray], track: int) -> Markup:
    tokens = window[0][:, track]
    starts = np.flatnonzero(window[2][:, track]) if len(window) > 2 else []
    texts = [datamodule.decode(part.tolist()) for part in np.split(tokens, starts)]
    return Markup('<div style="white-space: pre-wrap; min-width: 16em">{}</div>').format(DOCUMENT.join(texts))
