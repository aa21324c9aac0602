import pytest

from src.core.errors import ConfigError
from src.core.saved_config import has_scoring, read_saved_config, with_folder


def read(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_saved_config(path)


def test_plain_values_are_read_and_nothing_is_resolved(tmp_path):
    text = "a: ${oc.env:HOME}\nb: [1, 0.5, null, true]\nc: {d: 'x * y'}\n"
    assert read(tmp_path, text) == {"a": "${oc.env:HOME}", "b": [1, 0.5, None, True], "c": {"d": "x * y"}}


@pytest.mark.parametrize("text", ["", "3", "[1, 2]"])
def test_other_values_are_no_keys(tmp_path, text):
    assert read(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        (b"a: \xff\xfe", "is not YAML"),
        ("a: \0", "is not YAML"),
        ("a: 2001-99-99", "is not YAML"),
        ("? [1]\n: 2", "is not YAML"),
        ("a: " + "9" * 10_000, "is not YAML"),
        ("a: &a [1]\nb: [*a, *a]", "refers to its own parts"),
        ("a: &a {b: 1}\nc: {<<: [*a, *a]}", "refers to its own parts"),
        ("a: &a [*a]", "refers to its own parts"),
        ("[" * 100_000, "is nested too deeply"),
        ("- " * 200 + "x", "is nested too deeply"),
        ("a: x\n" * 300_000, "has more than 1,048,576 bytes"),
    ],
)
def test_what_no_run_writes_is_refused_in_one_line(tmp_path, text, reason):
    with pytest.raises(ConfigError, match=f"config.yaml {reason}") as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scoring", [None, 3, [], {}, {"monitor": 3}])
def test_a_config_without_a_score_is_not_of_a_run(scoring):
    assert not has_scoring({"scoring": scoring})
    assert has_scoring({"scoring": {"monitor": "val/loss", "mode": "min"}})


def test_a_folder_takes_the_place_of_another_at_the_beginning_of_paths():
    config = {"a": "${run_dir}", "b": {"c": "${run_dir}/x", "d": "${run_dir}x", "e": "y/${run_dir}"}, "f": 3}
    found = with_folder(config, "${run_dir}", "/r")
    assert found == {"a": "/r", "b": {"c": "/r/x", "d": "${run_dir}x", "e": "y/${run_dir}"}, "f": 3}
