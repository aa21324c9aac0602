"""`python train.py --list` and print_config=true: what a user sees before a run."""

import pytest

from src.core.console import EXPERIMENTS, expectation, listing, print_if_asked
from tests.support.programs import ROOT, composed, program, program_without_torch


@pytest.fixture
def folder(tmp_path):
    """A file without a comment, a child of a table's experiment, and a lesson."""
    (tmp_path / "lesson").mkdir()
    (tmp_path / "bare.yaml").write_text("# @package _global_\nseed: 1\n")
    (tmp_path / "rows.yaml").write_text("#\n# Rows, and\n# more.\n# Why.\n- override /model: tabular_model\n")
    (tmp_path / "child.yaml").write_text("#\n# Builds on rows.\ndefaults:\n  - rows\n")
    (tmp_path / "lesson" / "one.yaml").write_text("#\n" + "# " + 30 * "word " + "\n")
    return tmp_path


def test_every_experiment_is_listed_at_once_without_torch():
    done = program_without_torch("train.py", "--list", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names = {str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml")}
    assert names <= set(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_experiments_are_grouped_by_what_they_learn_from(folder):
    groups = {group.split(":\n")[0]: group for group in listing(folder).split("\n\n")}
    assert groups["Images"] == "Images:\n  bare"
    assert groups["Tables"].split("\n")[1:] == [
        "  child                Builds on rows.",
        "  rows                 Rows, and more.",
    ]
    assert "lesson/one" in groups["Lessons (docs/lessons.md)"]


def test_long_lines_hang_below_their_text(folder):
    lines = listing(folder).split("  lesson/one")[1].split("\n")
    assert lines[1].startswith(23 * " " + "word")
    assert max(map(len, lines)) <= 80


def test_an_expectation_ends_with_its_sentence(folder):
    assert [expectation(folder / f"{name}.yaml") for name in ("rows", "bare")] == ["Rows, and more.", ""]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lits"], "error: there is no flag --lits; did you mean --list?\n"),
        (["--list", "seed=1"], "error: --list stands alone, got --list seed=1; for one experiment, see --cfg job\n"),
    ],
)
def test_a_slip_is_one_line(arguments, message):
    done = program_without_torch("train.py", *arguments, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, message)


def test_hydras_own_flags_still_work():
    assert "--list " in program_without_torch("train.py", "--help", cwd=ROOT).stdout


def test_an_unknown_experiment_points_to_the_list():
    assert "python train.py --list" in program_without_torch("train.py", "experiment=nope", cwd=ROOT).stderr


def test_print_config_shows_values_resolved_and_as_they_are_typed(capsys, tmp_path):
    print_if_asked(composed("print_config=true", f"run_dir={tmp_path}", "data_dir='[bold]a b'"))
    lines = [line.strip("│├└─ ") for line in capsys.readouterr().out.splitlines()]
    assert {"checkpoint: null", "data_dir: [bold]a b", "widths: [32, 64, 128]"} <= set(lines)
    assert f"save_dir: {tmp_path}" in lines


def test_nothing_is_printed_unless_asked(capsys, tmp_path):
    print_if_asked(composed(f"run_dir={tmp_path}"))
    assert capsys.readouterr().out == ""


def test_print_config_goes_on_with_the_run(tmp_path):
    choices = ("callbacks=none", "model.net.widths=[3]", "trainer.max_epochs=1", f"run_dir={tmp_path}/run")
    done = program("train.py", "print_config=true", *choices, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert done.stdout.index("print_config: true") < done.stdout.index("test/accuracy")
