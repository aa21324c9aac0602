"""Lesson 5: a net's embeddings help models that are not nets."""

from scripts.compare_tabular.comparison import Comparison, read_table
from scripts.compare_tabular.report import draw_scores, summary
from scripts.lessons.bench import Bench, Lesson
from src.core.check import check, composed

MODELS = ("KNN", "forest", "boosting")
MAX_ROWS = 10_000  # for KNN and forest


def embeddings(bench: Bench) -> Lesson:
    """Compare KNN, forest and boosting with and without a net's embeddings: a short scripts.compare_tabular."""
    cfg = composed(
        ["experiment=lesson/embeddings", f"run_dir={bench.folder}", "logger=none", "callbacks=none", *bench.overrides()]
    )
    check(cfg)
    table = read_table(cfg)
    comparison = Comparison(cfg, table, models=MODELS, in_fold=False, max_rows=MAX_ROWS)
    for seed in bench.seeds:
        comparison.run(int(seed))
    cells = summary(comparison.results, table.score)
    return Lesson(draw_scores(cells, comparison.results, table.score), {f"test/{table.score}": cells})
