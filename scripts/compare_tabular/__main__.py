"""Compares models of a table with and without a net's embeddings, for any experiment on a table.

    python -m scripts.compare_tabular experiment=flights [key=value ...] [--seeds 3] [--in-fold]
        [--models KNN forest ...] [--out runs/compare_tabular]

A linear model, KNN, random forest, gradient boosting (scikit-learn's; LightGBM's with `pip install --no-deps
lightgbm==4.7.0`) and the experiment's net are tuned by four tries each on the validation rows of its split.
They read the categories as

    codes       numbers in the order of the categories (as numbers where they are, else as text), standardised
    native      unordered: one-hot for KNN and linear, sets for boosting; beyond 255 in a column, the rarest are one
    targets     the mean target of each category, cross-fitted (scikit-learn's TargetEncoder)
    embeddings  the vectors that the net has learned; the net learns them as it trains

and the continuous columns. The first two are "without embeddings"; the third needs less than a net.

A net learns its vectors from the targets of its training rows. On these rows the vectors say more about the targets
than on others, and a model that is fitted on them overfits where categories are rare. So one net learns on one half of
the training rows and another net on the other half; a model is fitted on each half with the vectors of the net that has
not seen it, and the predictions of the two models are averaged. (One model cannot use the vectors of both nets: their
axes have nothing in common.) The price: each net and model sees half of the rows, where all others see all. --in-fold
is the paper's way: one net, one model, all rows for both.

Linear, KNN and forest are fitted on 50,000 rows at most. Shown are means over the seeds, and standard deviations; a
seed changes everything except the split, which the experiment's seed decides. The first seed chooses the settings.
--out receives comparison.csv (each model, features and seed) and comparison.png. The last line is one JSON object.

Source: Guo and Berkhahn 2016, arXiv:1604.06737, table 3.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from scripts.compare_tabular.comparison import Comparison, read_table
from scripts.compare_tabular.report import draw_scores, summary, summary_table
from scripts.compare_tabular.rivals import RIVALS
from scripts.shared.arguments import command_line
from src.core.check import check, composed
from src.core.explain import readable_errors
from src.core.output import show

MAX_ROWS = 50_000  # for slow models


def compare(cfg: DictConfig, *, models: Sequence[str], seeds: int, in_fold: bool, out: Path) -> None:
    """Read the table, run all models, write and show the results."""
    started = time.perf_counter()
    table = read_table(cfg)
    comparison = Comparison(cfg, table, models=models, in_fold=in_fold, max_rows=MAX_ROWS)
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        comparison.run(seed)
        pd.DataFrame(comparison.results).to_csv(out / "comparison.csv", index=False)
    cells = summary(comparison.results, table.score)
    draw_scores(cells, comparison.results, table.score).savefig(out / "comparison.png")
    show(f"\n{summary_table(cells, table.score, seeds)}\n")
    where = "learned on the rows they are used on" if in_fold else "out of fold: each net and model on half of the rows"
    show(f"embeddings: {where}")
    slow, num_rows = [name for name in models if RIVALS[name].is_slow], len(table.targets("train"))
    if slow and num_rows > MAX_ROWS:
        show(f"{' and '.join(slow)}: on {MAX_ROWS:,} of {num_rows:,} training rows")
    means = {model: {features: round(mean, 5) for features, (mean, _) in row.items()} for model, row in cells.items()}
    show(json.dumps({"score": table.score, **means, "seeds": seeds, "seconds": round(time.perf_counter() - started)}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compose the experiment and compare."""
    parser = command_line("compare_tabular", __doc__)
    parser.add_argument("overrides", nargs="*", help="experiment=NAME and key=value, as for train.py")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--in-fold", action="store_true", help="learn vectors on the rows that models are fitted on")
    parser.add_argument("--models", nargs="+", choices=RIVALS, default=list(RIVALS), help="to compare with the net")
    parser.add_argument("--out", type=Path, default=Path("runs/compare_tabular"), help="for the CSV and the figure")
    args = parser.parse_intermixed_args(arguments)
    with readable_errors("train"):
        cfg = composed([*args.overrides, f"run_dir={args.out}", "logger=none", "callbacks=none"])
        check(cfg)
        compare(cfg, models=args.models, seeds=args.seeds, in_fold=args.in_fold, out=args.out)


if __name__ == "__main__":
    main()
