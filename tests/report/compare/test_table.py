"""The tables of a comparison of invented runs."""

from src.report.compare.table import runs_cell, settings_table, unscored_table
from tests.support.made_runs import compared, made, over


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


def test_without_unscored_runs_there_is_no_table_of_them(tmp_path):
    assert unscored_table(over(tmp_path, {0.1: [0.9, 0.8]}), tmp_path) is None
