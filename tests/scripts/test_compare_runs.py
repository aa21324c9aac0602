"""Pages over several runs, made-up ones and trained ones: folders, tables and texts."""

import re
from statistics import mean, stdev

import pytest

from src.core.errors import ConfigError
from src.report.compare.page import write_comparison
from src.report.compare.run import runs_in
from src.report.compare.table import runs_cell, settings_table, unscored_table
from tests.support.made_runs import compared, made, over
from tests.support.programs import metrics_of, program_without_torch, train_here


def test_runs_are_found_once_below_folders_and_in_order(tmp_path):
    for number in (10, 9):
        made(tmp_path / "multirun" / str(number), 0.5, lr=number)
    made(tmp_path / "multirun" / "9" / "wandb" / "copy")  # belongs to that run
    (tmp_path / "multirun" / "config.yaml").write_text("wandb_version: 1\n")  # not of train.py
    (tmp_path / "multirun.csv").touch()
    runs = runs_in([str(tmp_path / "multirun.csv"), str(tmp_path), str(tmp_path / "multirun" / "10")])
    assert [run.name for run in runs] == ["9", "10"]


def test_a_folder_that_is_missing_or_holds_no_run_is_named(tmp_path):
    made(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"^there is no folder \S+/nowhere$"):
        runs_in([str(tmp_path / "run"), str(tmp_path / "nowhere")])
    with pytest.raises(
        ConfigError, match=r"^\S+/empty holds no run: neither it nor a folder below it has a run's config.yaml$"
    ):
        runs_in([str(tmp_path / "run"), str(tmp_path / "empty")])


def test_a_config_that_is_no_yaml_is_named(tmp_path):
    (made(tmp_path / "run") / "config.yaml").write_text("scoring: [")
    with pytest.raises(ConfigError, match=r"^\S+/run/config.yaml is not YAML: while parsing.*$"):
        runs_in([str(tmp_path)])


def test_fewer_than_two_scores_of_a_metric_are_refused(tmp_path):
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", 2.0, monitor="val/loss", mode="min")
    made(tmp_path / "c", "none", lr=1)
    with pytest.raises(
        ConfigError, match=r"\(val/accuracy, val/loss in metrics.json\), got 2 with a score among 3 runs; "
    ):
        compared(tmp_path)


def test_runs_without_a_score_are_listed_apart_with_what_is_known(tmp_path):
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", 0.8, lr=0.2)
    made(tmp_path / "diverged", None, lr=7)
    made(tmp_path / "going", "none")
    made(tmp_path / "words", 3.0, monitor="val/perplexity", mode="min")
    stopped = made(tmp_path / "zstopped", 0.95)
    (stopped / "metrics.json").write_text('{"val/accuracy": 0.95}')
    section = unscored_table(compared(tmp_path), tmp_path)
    end = "not finished: still running, stopped, or failed"
    known = {run: (setting, why) for run, setting, why, _ in section.parts[0].rows}
    assert known == {
        "diverged": ("lr=7", "val/accuracy is not a number: the training diverged"),
        "going": ("lr=0.1", end),
        "words": ("", "scored by val/perplexity"),
        "zstopped": ("lr=0.1", end),
    }
    assert section.parts[0].rows[0][3] == "step 19, train/loss 1.000, val/accuracy 0.7500"


def test_a_finished_run_counts_without_a_test(tmp_path):
    made(tmp_path / "a", 0.9)
    (made(tmp_path / "b", 0.8, lr=0.2) / "metrics.json").write_text('{"val/accuracy": 0.8}')
    (tmp_path / "b" / "finished").touch()
    assert len(compared(tmp_path).settings) == 2


def test_a_setting_has_its_scores_and_costs_on_one_line(tmp_path):
    found = over(tmp_path, {0.1: [0.90, 0.92], 0.2: [0.8]})
    [table] = settings_table(found, tmp_path).parts
    head = [name.replace("\N{NO-BREAK SPACE}", " ") for name in table.head]
    costs = ["time, s", "samples per second", "memory, MB"]
    assert head == ["rank", "val/accuracy", "seeds", "model.lr", "test/accuracy", *costs]
    first, second = ([str(value).replace("\N{NO-BREAK SPACE}", " ") for value in row] for row in table.rows)
    del first[2], second[2]  # the folded runs
    assert first == ["1", "0.9100 ± 0.014", "0.1", "0.2500 ± 0", "2.5", "10.0", "100.0"]
    assert second == ["2", "0.8000", "0.2", "0.2500", "2.0", "10.0", "100.0"]


def test_each_run_leads_to_its_own_report_by_a_relative_path(tmp_path):
    folder = made(tmp_path / "my runs" / "a", 0.9)
    made(tmp_path / "my runs" / "b", 0.8, seed=1)
    (folder / "report.html").touch()
    [setting] = compared(tmp_path).settings
    cell = runs_cell(setting, "val/accuracy", tmp_path / "pages").replace("\N{NO-BREAK SPACE}", " ")
    assert "<summary>2</summary>" in cell
    assert 'seed 0: 0.9000 <a href="../my%20runs/a/report.html">a</a><br>seed 1: 0.8000 b<' in cell


def test_the_page_opens_with_the_best_setting(tmp_path):
    over(tmp_path / "runs", {0.1: [0.5, 0.6], 0.2: [0.75, 0.85]})
    write_comparison([str(tmp_path / "runs")], tmp_path / "pages" / "all.html")
    text = (tmp_path / "pages" / "all.html").read_text()
    assert '<p class="answer">0.8000</p>' in text
    assert "the highest of 2 settings (4 runs), with <strong>lr=0.2</strong>,\nthe mean over 2 seeds, ± 0.071" in text
    assert "<pre><code>python train.py model.lr=0.2 seed=0</code></pre>" in text
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["all.html"]
    assert not re.search(r"(src|href)=\"https?:", text)


def test_fifty_runs_are_compared_without_torch(tmp_path):
    over(tmp_path / "runs", {lr: [lr / 100, lr / 90] for lr in range(1, 26)})
    done = program_without_torch("scripts.compare_runs", "runs", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "compare.html\n"), done.stderr
    assert (tmp_path / "compare.html").stat().st_size < 1_000_000


def test_a_mistake_is_one_line(tmp_path):
    done = program_without_torch("scripts.compare_runs", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: there is no folder nowhere\n")


def test_trained_runs_get_the_means_of_their_metrics(tmp_path):
    changes = {
        lr: [train_here(tmp_path / f"{lr}_{s}", f"model.lr={lr}", f"seed={s}", "trainer.max_epochs=1") for s in (0, 1)]
        for lr in (1e-5, 1e-2)
    }
    found = compared(tmp_path)
    assert list(found.keys) == ["model.lr"]
    assert [setting.values["model.lr"] for setting in found.settings] == [1e-2, 1e-5]
    for setting in found.settings:
        for name in ("val/accuracy", "test/loss"):
            values = [metrics_of(folder)[name] for folder in changes[setting.values["model.lr"]]]
            assert setting.mean(name) == pytest.approx(mean(values))
            assert setting.spread(name) == pytest.approx(stdev(values))
