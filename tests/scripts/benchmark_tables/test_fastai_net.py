import numpy as np
import pandas as pd
import pytest

from scripts.benchmark_tables.fastai_net import as_frame, fit
from scripts.benchmark_tables.suite import SuiteTable, score

INPUTS = pd.DataFrame({"size": pd.Categorical(["S", None, "L"] * 200), "count": np.arange(600) % 7})


def test_categories_become_text_and_numbers_float32():
    frame = as_frame(INPUTS)
    assert frame["size"].tolist()[0] == "S"
    assert pd.isna(frame["size"][1])
    assert (frame["size"].dtype, frame["count"].dtype) == (object, np.float32)


@pytest.mark.filterwarnings("ignore")  # fast.ai's own
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_it_learns_a_table(task):
    pytest.importorskip("fastai")
    table, targets = SuiteTable(target="y", task=task), pd.Series(np.arange(600) % 7 > 3, dtype=int)
    answers = fit(table, INPUTS, targets * (1 if task == "binary" else 1000), 0)(INPUTS)
    found = score(table, targets * (1 if task == "binary" else 1000), answers)
    assert found > 0.99 if task == "binary" else found < 150
