import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from scripts.show import training_batches
from src.report.tables.batches import sections
from tests.datamodules.tables.test_base import People
from tests.support.make_data import table_settings

FRAME = pd.DataFrame(
    {
        "town": ["Bonn", "Kiel", "Kiel", None] * 10,
        "size": [1.5, None, 2.5, 3.5] * 10,
        "day": pd.Timestamp("2020-01-31") + pd.to_timedelta(np.arange(40), "D"),
        "target": [1.0, 2.0, 4.0, 8.0] * 10,
    }
)


@pytest.fixture
def shown(tmp_path):
    """The rows of the page by name, of a set with changed settings."""

    def shown(**changes):
        settings = table_settings(**{"task": "regression", "batch_size": None, "categorical": ["town"], **changes})
        data = People({"train": FRAME}, cache_dir=str(tmp_path), **settings)
        (section,) = sections(data, training_batches(data, 1))
        return {row[0]: row[1:] for row in section.parts[0].rows}, data

    return shown


def test_values_stand_above_what_the_net_gets(shown):
    rows, data = shown()
    codes, _, targets = training_batches(data, 1)[0]
    texts = [Markup.escape(text) for text in ("<missing>", "<unknown>", *data.spec["processing"]["categories"]["town"])]
    for place in range(6):
        code = int(codes[place, 0])
        assert rows["town"][place].startswith(f"{texts[code]}<br>")
        assert rows["town"][place].endswith(f">{code}</span>")
        assert rows["target"][place].endswith(f">{float(targets[place, 0]):.3f}</span>")
        assert rows["target"][place].split("<")[0] in ("1", "2", "4", "8")
    missing = [cell for cell in rows["size"] if cell.startswith("&lt;missing")]
    assert all("missing 1" in cell for cell in missing)
    assert all("missing 0" in cell for cell in rows["size"] if cell not in missing)


def test_the_parts_of_a_date_have_names(shown):
    cell = shown()[0]["day"][0]
    assert cell.startswith("2020-")
    assert "month " in cell
    assert "elapsed " in cell


def test_a_class_stands_with_its_number(shown):
    rows, _ = shown(task="multiclass")
    numbers = {"1": 0, "2": 1, "4": 2, "8": 3}
    assert all(cell.endswith(f">{numbers[cell.split('<')[0]]}</span>") for cell in rows["target"])
