"""The page over several invented runs."""

import re

from src.report.compare.page import write_comparison
from tests.support.made_runs import over


def test_the_page_opens_with_the_best_setting(tmp_path):
    over(tmp_path / "runs", {0.1: [0.5, 0.6], 0.2: [0.75, 0.85]})
    write_comparison([str(tmp_path / "runs")], tmp_path / "pages" / "all.html")
    text = (tmp_path / "pages" / "all.html").read_text()
    assert '<p class="answer">0.8000</p>' in text
    assert "the highest of 2 settings (4 runs), with <strong>lr=0.2</strong>,\nthe mean over 2 seeds, ± 0.071" in text
    assert "<pre><code>python train.py model.lr=0.2 seed=0</code></pre>" in text
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["all.html"]
    assert not re.search(r"(src|href)=\"https?:", text)
