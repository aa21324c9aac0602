import numpy as np
import pytest

from src.report.tables.columns import table_columns
from src.report.tables.net import TableNet, read_rows
from src.report.tables.worst import worst_rows
from tests.support.small_table import frame_of, model_of, table_of


def worst(data, function, count):
    rows, _ = read_rows(data, 1000)
    net = TableNet(model_of(data, function))
    head, table = worst_rows(net, rows, net.losses(rows), table_columns(data.spec["processing"]), count)
    return [dict(zip(head, row, strict=True)) for row in table]


def test_the_worst_rows_are_rows_of_the_file(tmp_path):
    data, frame = table_of(tmp_path), frame_of(400)
    found = worst(data, lambda c, x: 0 * x[:, :1], 5)  # always the training rows' mean
    mean = data.spec["processing"]["target"]["mean"][0]
    rows, _ = read_rows(data, 1000)
    ids = table_columns(data.spec["processing"])[3].numbers[0]
    tested = frame.iloc[ids.original(rows.continuous[:, ids.place].numpy()).round().astype(int)]
    expected = tested.iloc[np.argsort(-((tested["price"].to_numpy() - mean) ** 2))[:5]]
    assert [int(row["id"]) for row in found] == expected["id"].tolist()
    assert [row["town"] for row in found] == expected["town"].fillna("<missing>").tolist()
    assert [row["day"] for row in found] == [f"{day:%Y-%m-%d}" for day in expected["day"]]
    assert [row["price, true"] for row in found] == pytest.approx(expected["price"].tolist(), rel=1e-4)
    assert [row["price, predicted"] for row in found] == pytest.approx([mean] * 5)
    assert [tested["id"].iloc[row["row"] - 1] for row in found] == expected["id"].tolist()


def test_a_class_is_predicted_with_its_probability(tmp_path):
    (row,) = worst(table_of(tmp_path, "binary"), lambda c, x: 0 * x[:, :1] + np.log(4), 1)
    assert (row["late, true"], row["late, predicted"]) == ("no", "yes\N{NO-BREAK SPACE}(80.0%)")
    assert row["loss"] == pytest.approx(np.log(5), rel=1e-5)
