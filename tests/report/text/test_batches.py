from types import SimpleNamespace

import torch

from src.report.text.batches import NUM_TRACKS, sections

DATA = SimpleNamespace(decode=lambda tokens: " ".join(map(str, tokens)), spec={"vocab_size": 1234})


def window(start, time=3, tracks=12):
    return torch.arange(time)[:, None] + start + 100 * torch.arange(tracks)


def test_a_row_of_the_page_is_a_track_and_a_column_a_window():
    (section,) = sections(DATA, [(window(0), window(1)), (window(3, time=2), window(4, time=2))])
    (table,) = section.parts
    assert list(table.head) == ["track", "window 1, 3 tokens", "window 2, 2 tokens"]
    assert [row[0] for row in table.rows] == [1, 4, 7, 10]  # at most NUM_TRACKS of 12
    assert len(table.rows) <= NUM_TRACKS
    assert ">300 301 302<" in table.rows[1][1]
    assert ">303 304<" in table.rows[1][2]
    assert "read in 12 tracks" in section.note
    assert "1,234 tokens" in section.note


def test_beginnings_of_documents_are_marked():
    starts = torch.zeros(3, 12, dtype=torch.bool)
    starts[2, 0] = True
    (section,) = sections(DATA, [(window(0), window(1), starts)])
    assert ">0 1 \u00b6 2<" in section.parts[0].rows[0][1]
    assert "The net forgets at each \u00b6" in section.note
