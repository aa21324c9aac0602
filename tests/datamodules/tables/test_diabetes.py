from src.datamodules.tables.diabetes import Diabetes
from tests.support.make_data import table_settings
from tests.support.programs import composed


def test_the_table_is_in_real_units_and_in_the_columns_of_conf(tmp_path):
    data = Diabetes(cache_dir=str(tmp_path), **table_settings(target="progression", task="regression"))
    frame = data.frames()["train"]
    config = composed("datamodule=diabetes").datamodule
    assert {*config.categorical, *config.continuous, config.target} == set(frame)
    assert (len(frame), frame["age"].max(), frame["progression"].max()) == (442, 79, 346)


def test_the_rows_are_divided(tmp_path):
    data = Diabetes(cache_dir=str(tmp_path), **table_settings(target="progression", task="regression"))
    data.prepare_data()
    data.setup("fit")
    assert {name: len(rows.targets) for name, rows in data.splits.items()} == {"train": 276, "valid": 111, "test": 55}
