import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from src.report.tables.columns import table_columns
from src.report.tables.dependence import dependence_on, draw_dependence
from src.report.tables.net import TableNet, read_rows
from tests.support.small_table import frame_of, model_of, table_of


def dependence(data, name, function):
    rows, _ = read_rows(data, 1000)
    net = TableNet(model_of(data, function))
    (column,) = (column for column in table_columns(data.spec["processing"]) if column.name == name)
    return dependence_on(net, column, rows), net


def test_a_linear_net_gives_its_line_in_the_tables_units(tmp_path):
    data = table_of(tmp_path)
    found, _ = dependence(data, "id", lambda c, x: 3 * x[:, 2:3])
    state = data.spec["processing"]
    scaled = (found.values - state["continuous"]["id"]["mean"]) / state["continuous"]["id"]["std"]
    line = 3 * scaled * state["target"]["std"] + state["target"]["mean"]
    assert_allclose(found.predictions[:, :, 0], np.broadcast_to(line[:, None], found.predictions.shape[:2]), rtol=1e-4)
    assert len(line) == 21
    assert found.values[0] < 10
    assert found.values[-1] > 390


def test_missing_numbers_are_none_of_the_values(tmp_path):
    found, _ = dependence(table_of(tmp_path), "size", lambda c, x: x[:, 1:2])
    state = table_of(tmp_path).spec["processing"]["target"]
    assert_allclose(found.predictions, state["mean"][0])  # the flag is 0 in all rows
    assert len(np.unique(found.spread)) > 100


def test_each_category_has_what_the_net_says_of_it(tmp_path):
    data = table_of(tmp_path, "binary")
    found, net = dependence(data, "town", lambda c, x: c[:, :1].float())
    texts = ["<missing>", "<unknown>", *data.spec["processing"]["categories"]["town"]]
    for value, predictions in zip(found.values, found.predictions, strict=True):
        assert_allclose(predictions[:, 1], torch.tensor(float(texts.index(value))).sigmoid(), rtol=1e-5)
    assert sorted(found.values) == sorted(["<missing>", "Bonn", "Kiel", "Ulm", "Trier"])
    assert found.values[0] == "Bonn"  # half of the rows
    assert found.weights.sum() == pytest.approx(1)
    drawn = [label.get_text() for label in draw_dependence(found, net).axes[0].get_yticklabels()]
    assert drawn == ["Trier", "Ulm", "Kiel", "Bonn", "<missing>"]  # from probable to improbable


def test_a_date_is_shown_by_its_part_that_matters_together_with_fitting_others(tmp_path):
    days = pd.to_datetime([f"2021-{month}-{day}" for month in range(1, 13) for day in (10, 20)])
    frame = frame_of(400).assign(day=np.resize(days, 400))
    data = table_of(tmp_path, frame=frame, date_parts=["year", "month", "day_of_year"])
    months = torch.tensor([0, 0, *map(int, data.spec["processing"]["categories"]["day_month"])])
    days = torch.tensor([0, 0, *map(int, data.spec["processing"]["categories"]["day_day_of_year"])])

    def at_odds(categories, continuous):  # how far the month of the day of the year is from the month
        month, day = months[categories[:, 3]], days[categories[:, 4]]
        return (1000 * (day // 30.5 + 1 - month).abs() + month).unsqueeze(1).float()

    found, net = dependence(data, "day", at_odds)
    assert found.part.name == "day_month"
    state = data.spec["processing"]["target"]
    said = (found.predictions.mean((1, 2)) - state["mean"][0]) / state["std"][0]
    assert_allclose(said, [int(value) for value in found.values], atol=1e-3)
    drawn = [label.get_text() for label in draw_dependence(found, net).axes[0].get_yticklabels()]
    assert drawn == [str(month) for month in range(1, 13)]


def test_several_targets_have_a_panel_each(tmp_path):
    data = table_of(tmp_path, target=["price", "weight"])
    found, net = dependence(data, "id", lambda c, x: x[:, :2])
    labels = [axes.get_ylabel() for axes in draw_dependence(found, net).axes]
    assert labels[:2] == ["predicted price", "predicted weight"]


def test_classes_share_a_panel(tmp_path):
    data = table_of(tmp_path, "multiclass", frame_of(100))
    found, net = dependence(data, "id", lambda c, x: torch.cat([x[:, 2:3] * k for k in range(4)], 1))
    upper, _ = draw_dependence(found, net).axes
    assert [line.get_label() for line in upper.lines] == ["A", "B", "C", "D"]
    assert_allclose(np.sum([line.get_ydata() for line in upper.lines], 0), 1, rtol=1e-5)
