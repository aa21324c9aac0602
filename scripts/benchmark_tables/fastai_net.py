"""fast.ai's own tabular net as a rival, with the settings that AutoGluon gives it (TabArena's entry)."""

import io
import tempfile
from contextlib import redirect_stdout

import numpy as np
import pandas as pd

from scripts.benchmark_tables.suite import Fitted, SuiteTable, categories_of, divide_train

EPOCHS, RATE, BATCH, DROPOUT = 30, 1e-2, 256, 0.1


def fit(table: SuiteTable, inputs: pd.DataFrame, targets: pd.Series, seed: int) -> Fitted:
    """Train for 30 epochs with one cycle; a tenth of the rows chooses the best epoch. Targets are standardised."""
    from fastai.callback.tracker import SaveModelCallback  # pyright: ignore[reportMissingImports]
    from fastai.tabular import all as fastai  # pyright: ignore[reportMissingImports]

    is_regression = table.task == "regression"
    mean, deviation = (targets.mean(), targets.std()) if is_regression else (0.0, 1.0)
    frame = as_frame(inputs).assign(target=(targets - mean) / deviation if is_regression else targets)
    categories, (_, valid) = categories_of(inputs), divide_train(table, targets, seed)
    fastai.set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        loaders = fastai.TabularDataLoaders.from_df(
            frame,
            path=folder,
            procs=[fastai.Categorify, fastai.FillMissing, fastai.Normalize],
            cat_names=categories,
            cont_names=[name for name in inputs if name not in categories],
            y_names="target",
            y_block=fastai.RegressionBlock() if is_regression else fastai.CategoryBlock(),
            valid_idx=valid,
            bs=min(BATCH, len(frame) // 10),
            device="cpu",
        )
        config = fastai.tabular_config(ps=[DROPOUT, DROPOUT], embed_p=DROPOUT)
        learner = fastai.tabular_learner(loaders, layers=[200, 100], config=config)
        with learner.no_bar(), learner.no_logging(), redirect_stdout(io.StringIO()):  # it tells of each better epoch
            learner.fit_one_cycle(EPOCHS, RATE, cbs=SaveModelCallback(monitor="valid_loss"))

    def predict(rows: pd.DataFrame) -> np.ndarray:
        with learner.no_bar():
            answers, _ = learner.get_preds(dl=loaders.test_dl(as_frame(rows)))
        return answers.numpy() * deviation + mean

    return predict


def as_frame(inputs: pd.DataFrame) -> pd.DataFrame:
    """Text for categories, which it reads as such, and float32 numbers."""
    categories = categories_of(inputs)
    return inputs.astype({name: object if name in categories else np.float32 for name in inputs})
