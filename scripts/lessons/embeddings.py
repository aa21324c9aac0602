"""Lesson 5: the embeddings that a net has learned, for models that are no nets."""

from scripts.compare_tabular.__main__ import Comparison, read_table
from scripts.compare_tabular.report import draw, summary
from scripts.lessons.bench import Bench, Lesson
from src.core.check import check, composed

MODELS = ("KNN", "forest", "boosting")
MAX_ROWS = 10_000  # that KNN and forest are fitted on


def embeddings(bench: Bench) -> Lesson:
    """KNN, forest and boosting with a net's embeddings and without: scripts/compare_tabular/__main__.py in short."""
    cfg = composed(
        ["experiment=lesson/embeddings", f"run_dir={bench.folder}", "logger=none", "callbacks=none", *bench.overrides()]
    )
    check(cfg)
    table = read_table(cfg)
    comparison = Comparison(cfg, table, models=MODELS, in_fold=False, max_rows=MAX_ROWS)
    for seed in bench.seeds:
        comparison.run(int(seed))
    cells = summary(comparison.results, table.score)
    return Lesson(draw(cells, comparison.results, table.score), {f"test/{table.score}": cells})
