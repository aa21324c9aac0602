"""Sweep files: what they may hold, and that W&B, Hydra and scripts.sweep read them alike."""

from math import inf

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from scripts.sweep.file import check_values, keys_of_today, read_sweep
from src.core import migrations
from src.core.errors import ConfigError
from src.core.formats import Migration
from tests.support.programs import ROOT

FILES = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))
RATES = {"model.lr": {"values": [0.1, 0.2]}}


def written(folder, parameters=RATES, **changes):
    """A small sweep file, with other parameters or keys."""
    config = {
        "program": "train.py",
        "method": "random",
        "metric": {"name": "val/loss", "goal": "minimize"},
        "parameters": parameters,
        "command": ["${interpreter}", "${program}", "experiment=digits", "${args_no_hyphens}"],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config | changes))
    return path


def the_parameter(folder, **choices):
    return read_sweep(written(folder, {"model.lr": choices}), []).parameters["model.lr"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_train_accepts_every_value_of_a_sweep_file(path):
    check_values(read_sweep(path, []))


def test_each_domain_has_a_grid_a_random_search_and_bayes_with_hyperband():
    sweeps = {path.stem: read_sweep(path, []) for path in FILES}
    kinds = {name: (sweep.method, sweep.early_terminate is not None) for name, sweep in sweeps.items()}
    for domain in ("images", "text", "tables"):
        assert kinds[f"{domain}_grid"] == ("grid", False)
        assert kinds[f"{domain}_random"] == ("random", False)
        assert kinds[f"{domain}_bayes"] == ("bayes", True)


# What W&B's agent writes for a value, and what Hydra makes of that.
READ = [
    (True, True),
    (1e-05, 1e-05),
    (0.30000000000000004, 0.30000000000000004),
    ("1e-5", 1e-05),
    ("null", None),
    ("true", True),
    ("3", 3),
    ("'3'", "3"),
    ("two words", "two words"),
    ([200, 100], [200, 100]),
    (["a", "b"], ["a", "b"]),
    ("[images,ema]", ["images", "ema"]),
    ("{a: 1, b: null}", {"a": 1, "b": None}),
    ("'a, b'", "a, b"),
]


@pytest.mark.parametrize(("value", "read"), READ, ids=repr)
def test_a_value_that_hydra_reads_as_it_is_meant_is_written_as_w_and_b_writes_it(value, read, tmp_path):
    (text,) = create_sweep_command_args({"args": {"model.lr": {"value": value}}})["args_no_hyphens"]
    assert OverridesParser.create().parse_override(text).value() == read
    assert text == f"model.lr={the_parameter(tmp_path, value=value).choices[0]}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "model.lr: Hydra would read None as 'None'; quote it as Hydra writes it: 'null' for null"),
        ([1, None], "model.lr: Hydra would read .* as .1, 'None'.; quote it"),
        ({"a": 1}, "Hydra cannot read model.lr={'a': 1}: .* write a dict as {a: 1}"),
        ("a=b", "Hydra cannot read model.lr=a=b: quote the text once more"),
        ("a, b", "Hydra reads model.lr=a, b as several jobs: write a list in brackets"),
    ],
)
def test_a_value_that_hydra_would_misread_is_refused(value, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        the_parameter(tmp_path, value=value)


@pytest.mark.parametrize(
    ("choices", "distribution"),
    [
        ({"values": [1, 2]}, CategoricalDistribution([1, 2])),
        ({"value": 3}, CategoricalDistribution([3])),
        ({"min": 2, "max": 5}, IntDistribution(2, 5)),
        ({"min": 2, "max": 5.0}, FloatDistribution(2, 5)),
        ({"min": 0.0, "max": 1.0, "q": 0.25, "distribution": "q_uniform"}, FloatDistribution(0, 1, step=0.25)),
        ({"min": 0.1, "max": 1.0, "distribution": "log_uniform_values"}, FloatDistribution(0.1, 1, log=True)),
    ],
)
def test_a_distribution_is_the_one_that_w_and_b_takes_it_for(choices, distribution, tmp_path):
    assert the_parameter(tmp_path, **choices) == distribution


@pytest.mark.parametrize(
    ("early_terminate", "numbers"),
    [
        ({"type": "hyperband", "min_iter": 2}, {"min_resource": 2, "reduction_factor": 3, "last_stop": inf}),
        # 27 / 3^2: W&B stops after 3 and 9
        (
            {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3},
            {"min_resource": 3, "reduction_factor": 3, "last_stop": 9},
        ),
    ],
)
def test_hyperband_stops_first_and_last_where_w_and_b_does(early_terminate, numbers, tmp_path):
    assert read_sweep(written(tmp_path, early_terminate=early_terminate), []).early_terminate == numbers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "best"}, "method must be grid, random or bayes, got best"),
        ({"metric": {"name": "val/loss"}}, "metric must have a name and a goal"),
        ({"command": ["${program}", "${args}"]}, r"command must hold \$\{args_no_hyphens\}"),
        ({"command": ["${args_no_hyphens}"]}, "command must name an experiment"),
        ({"early_terminate": {"type": "median"}}, "early_terminate must be of type hyperband"),
        ({"parameters": {"model.lr": {"min": "1e-3", "max": 1.0}}}, "YAML reads 1e-3 as text: write 1.0e-3"),
        (
            {"parameters": {"model.lr": {"mu": 1.0, "distribution": "normal"}}},
            "model.lr has .*, which is not supported",
        ),
        ({"parameters": {"model.lr": {"min": 0.1, "max": 1.0}}, "method": "grid"}, "a grid needs values"),
        ({"parameters": {"model.lr": 0.1}}, "model.lr must be a dict, got 0.1: write {value: ...}"),
        ({"parameters": {"model.lr": {"values": 3}}}, "model.lr must have a list of values, got 3"),
        ({"parameters": {"model.lr": {"values": []}}}, r"model.lr must have a list of values, got \[\]"),
        ({"parameters": {"model.lr": {"min": 2, "max": 1}}}, "model.lr has .*`low <= high`"),
        ({"parameters": {"model.lr": {"min": 0.5, "max": 3.0, "distribution": "int_uniform"}}}, "whole numbers"),
        (
            {"parameters": {"model.lr": {"min": 0, "max": 1, "distribution": "log_uniform_values"}}},
            "model.lr has .*`low",
        ),
        ({"parameters": None}, "parameters must be a dict, got None"),
        ({"metric": "val/loss"}, "metric must be a dict, got 'val/loss'"),
        ({"command": "train.py"}, "command must be a list, got 'train.py'"),
        ({"run_cap": "3"}, "run_cap must be a whole number, got '3'"),
        ({"early_terminate": "hyperband"}, "early_terminate must be a dict, got 'hyperband'"),
        ({"early_terminate": {"type": "hyperband", "min_iter": "1"}}, "early_terminate must have whole numbers"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "and eta of 2 or more"),
        ({"command": ["experiment=digits", "${args_no_hyphens}", "-m"]}, "command may hold .*, got -m: leave it out"),
        ({"command": ["experiment=digits", "${args_no_hyphens}", "run_dir=x"]}, "got run_dir: leave it out"),
    ],
)
def test_a_mistake_in_a_file_is_named(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_sweep(written(tmp_path, **changes), [])


def test_a_key_that_train_does_not_know_is_found_before_the_first_trial(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no key model.lrr; did you mean model.lr\?"):
        check_values(read_sweep(written(tmp_path, {"model.lrr": {"value": 1}}), []))


RENAMED = Migration(arguments={"src.models.images.classifier.ImageClassifier": {"rate": "lr"}})


def test_a_sweep_from_before_an_upgrade_keeps_its_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(migrations, "MIGRATIONS", [RENAMED])
    sweep = read_sweep(written(tmp_path, {"model.rate": {"values": [0.1, 0.2]}}), [])
    check_values(sweep)
    assert list(sweep.parameters) == ["model.rate"]  # what Optuna knows
    today = keys_of_today({**sweep.fixed, "model.rate": 0.1})
    assert today == {**sweep.fixed, "model.lr": 0.1}


def test_a_parameter_s_last_value_is_checked_too(tmp_path):
    with pytest.raises(ConfigError, match=r"model.lr must be float, got 'low'"):
        check_values(read_sweep(written(tmp_path, {"model.lr": {"values": [0.1, 0.2, "low"]}}), []))


def test_a_mistake_in_the_yaml_is_one_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("method: [grid\nmetric: {}\n")
    with pytest.raises(ConfigError, match=r"bad.yaml is not YAML: .*line 2") as raised:
        read_sweep(tmp_path / "bad.yaml", [])
    assert "\n" not in str(raised.value)
    (tmp_path / "bad.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"bad.yaml is not YAML"):
        read_sweep(tmp_path / "bad.yaml", [])


def test_overwrite_is_refused_before_the_first_trial_since_trials_resume(tmp_path):
    with pytest.raises(ConfigError, match="overwrite=true clears run_dir"):
        check_values(read_sweep(written(tmp_path), ["overwrite=true"]))


@pytest.mark.parametrize("text", ["run_dir=here", "resume=true", "++resume=true"])
def test_what_a_sweep_sets_for_each_trial_cannot_be_given(text, tmp_path):
    with pytest.raises(ConfigError, match="a sweep sets run_dir and resume for each trial"):
        read_sweep(written(tmp_path), [text])


@pytest.mark.parametrize("name", ["images_bayes", "tables_bayes", "text_bayes"])
def test_no_trial_is_stopped_at_its_last_validation(name):
    early = read_sweep(ROOT / "conf" / "sweep" / f"{name}.yaml", []).early_terminate
    assert early == {"min_resource": 1, "reduction_factor": 3, "last_stop": 3}  # of nine validations


def test_an_override_takes_the_place_of_a_parameter_and_of_the_command(tmp_path):
    sweep = read_sweep(written(tmp_path), ["model.lr=0.5", "experiment=adult"])
    assert sweep.parameters == {}
    assert sweep.fixed == {"logger": "csv", "experiment": "adult", "model.lr": "0.5"}


def test_a_parameter_with_one_value_is_not_searched(tmp_path):
    both = {"model.lr": {"value": 0.1}, "model.label_smoothing": {"values": [0.0, 0.1]}}
    assert read_sweep(written(tmp_path, both), []).searched == ["model.label_smoothing"]


def test_a_missing_file_is_named_with_the_nearest_one(tmp_path):
    written(tmp_path)
    with pytest.raises(ConfigError, match=r"tinny.yaml does not exist; did you mean \S+/tiny.yaml\?"):
        read_sweep(tmp_path / "tinny.yaml", [])


def test_a_missing_key_is_named(tmp_path):
    (tmp_path / "bad.yaml").write_text("method: grid\n")
    with pytest.raises(ConfigError, match="must have the keys method, metric, parameters and command"):
        read_sweep(tmp_path / "bad.yaml", [])


@pytest.mark.parametrize("text", ["~callbacks.report", "~callbacks"])
def test_a_sweep_deletes_no_key(text, tmp_path):
    with pytest.raises(ConfigError, match=rf"a sweep sets keys, and {text} deletes one"):
        read_sweep(written(tmp_path), [text])


def test_a_short_hyperband_stops_after_one_validation_at_the_earliest(tmp_path):
    early = read_sweep(written(tmp_path, early_terminate={"type": "hyperband", "max_iter": 2, "s": 2}), [])
    assert early.early_terminate == {"min_resource": 1, "reduction_factor": 3, "last_stop": 0}
