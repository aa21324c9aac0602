import numpy as np
import pytest

from src.datamodules.base import DataModule
from src.report.tables.columns import table_columns
from src.report.tables.net import TableNet, read_rows
from src.report.tables.worst import names_of, worst_rows
from tests.support.small_table import frame_of, model_of, table_of


def worst(data, function, count):
    rows, _ = read_rows(data, 1000)
    net = TableNet(model_of(data, function))
    head, table = worst_rows(net, rows, net.losses(rows), table_columns(data.spec["processing"]), count, names_of(data))
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
    assert [frame["id"].iloc[row["row"] - 1] for row in found] == expected["id"].tolist()


def test_a_class_is_predicted_with_its_probability(tmp_path):
    (row,) = worst(table_of(tmp_path, "binary"), lambda c, x: 0 * x[:, :1] + np.log(4), 1)
    assert (row["late, true"], row["late, predicted"]) == ("no", "yes\N{NO-BREAK SPACE}(80.0%)")
    assert row["loss"] == pytest.approx(np.log(5), rel=1e-5)


def test_rows_have_their_place_in_the_file_and_the_columns_that_name_them(tmp_path):
    frame = frame_of(60).assign(order=[f"A-{number}" for number in range(60)])
    frame.loc[[2, 30], "price"] = None
    auto = {"categorical": "auto", "continuous": "auto", "dates": "auto", "ignored": ["weight"]}
    data = table_of(tmp_path, frame=frame, on_missing_target="drop", **auto)
    found = worst(data, lambda c, x: 0 * x[:, :1], 60)
    assert list(found[0])[:4] == ["row", "id", "order", "loss"]
    assert len(found) == 29
    for row in found:
        assert (row["id"], row["order"]) == (str(row["row"] - 1), f"A-{row['row'] - 1}")
        assert row["price, true"] == pytest.approx(frame["price"][row["row"] - 1], rel=1e-4)


def test_rows_of_a_test_file_are_counted_there(tmp_path):
    data = table_of(tmp_path, frame=frame_of(60))
    data.frames = lambda: {"train": frame_of(60), "test": frame_of(9, seed=1)}
    data.fingerprint = lambda: "two files"
    del data.cache
    data.prepare_data()
    assert data.tested_rows() == {"row": [*range(1, 10)]}


def test_data_without_names_count_the_rows_of_the_split():
    assert names_of(DataModule()) is names_of(object()) is None
