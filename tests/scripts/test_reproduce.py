"""README's tables show what docs/results.yaml has, and a row of it can be measured again."""

import pytest
import yaml

from scripts import reproduce
from scripts.reproduce import README, RESULTS, compared, find_rows, metric_label, with_tables
from src.core.errors import ConfigError
from tests.support.programs import ROOT

ROW = {
    "net": "CNNSmall",
    "overrides": ["experiment=digits", "callbacks=default", "~callbacks.report", "model.net.widths=[3]"],
    "seeds": [0, 1],
    "metrics": ["test/accuracy", reproduce.MIRRORED],
    "data": "the moon",
}
TINY = {"some": {"title": "experiment", "columns": {"score": ROW["metrics"]}, "rows": {"tiny": ROW, "other": {}}}}


@pytest.fixture
def places(tmp_path):
    """A results file of one row, and a page with its marks."""
    (tmp_path / "results.yaml").write_text(yaml.safe_dump({"some": {**TINY["some"], "rows": {"tiny": ROW}}}))
    (tmp_path / "page.md").write_text("before\n<!-- results: some -->\n| old |\n<!-- end -->\nafter\n")
    return tmp_path


def redo(folder, words, write):
    reproduce.reproduce(words, write, folder / "out", folder / "results.yaml", folder / "page.md")


@pytest.fixture
def started(monkeypatch):
    """The overrides of the runs that were started; accuracies are 0.9, 0.8 with seed 1, and half of it mirrored."""
    found = []

    def run(name, row, overrides, folder):
        found.append(overrides)
        accuracy = 0.8 if "seed=1" in overrides else 0.9
        return {"test/accuracy": accuracy / 2 if "task=test" in overrides else accuracy}

    monkeypatch.setattr(reproduce, "_run", run)
    return found


def test_each_seed_is_trained_and_then_tested_with_mirror_images(places, started):
    redo(places, ["tiny", "data_dir=here"], write=False)
    assert len(started) == 4
    assert started[0] == [*ROW["overrides"], "seed=0", "data_dir=here"]
    checkpoint = f"checkpoint={places}/out/tiny/0/checkpoints/best.ckpt"
    assert started[1] == [*started[0], "task=test", "model.flip_tta=true", checkpoint]
    assert "seed=1" in started[2]


def test_a_measured_row_is_recorded_with_hardware_and_date(places, started):
    redo(places, ["tiny"], write=True)
    measured = yaml.safe_load((places / "results.yaml").read_text())["some"]["rows"]["tiny"]["measured"]
    assert measured.keys() == {"date", "hardware", "torch", "threads", "scores"}
    assert measured["scores"] == {"test/accuracy": [0.85, 0.07071], reproduce.MIRRORED: [0.425, 0.03536]}


def test_the_page_gets_the_row_between_its_marks(places, started):
    redo(places, ["tiny"], write=True)
    lines = (places / "page.md").read_text().splitlines()
    assert lines[:4] == ["before", "<!-- results: some -->", "| experiment | net | score |", "| --- | --- | --- |"]
    assert lines[4:] == ["| `tiny` | CNNSmall | 85.0 ± 7.1 % / 42.5 ± 3.5 % |", "<!-- end -->", "after"]


def test_a_recorded_row_is_shown_beside_the_new_one(places, started, capsys):
    redo(places, ["tiny"], write=True)
    capsys.readouterr()
    redo(places, ["tiny"], write=False)
    new, recorded, *differences = capsys.readouterr().out.splitlines()
    assert new == "`tiny` | CNNSmall | 85.0 ± 7.1 % / 42.5 ± 3.5 %"
    assert recorded.startswith(f"{new}   recorded 2")
    assert differences[0] == "  test/accuracy: 0.85, recorded 0.85: +0.0 standard deviations"


def test_a_measurement_alone_changes_no_file(places, started):
    before = [(places / name).read_text() for name in ("results.yaml", "page.md")]
    redo(places, ["tiny"], write=False)
    assert [(places / name).read_text() for name in ("results.yaml", "page.md")] == before


@pytest.mark.long
def test_a_row_is_trained_the_way_a_user_does(places, monkeypatch):
    monkeypatch.setitem(ROW, "overrides", [*ROW["overrides"], "trainer.max_epochs=1"])
    text = yaml.safe_dump({"some": {**TINY["some"], "rows": {"tiny": {**ROW, "seeds": [1]}}}})
    (places / "results.yaml").write_text(text)
    redo(places, ["tiny"], write=True)
    scores = yaml.safe_load((places / "results.yaml").read_text())["some"]["rows"]["tiny"]["measured"]["scores"]
    for accuracy, deviation in scores.values():
        assert 0 < accuracy < 1
        assert deviation is None


def test_a_row_without_measurements_says_so():
    assert reproduce.cells("other", {"net": "MLP"}, {"score": ["test/accuracy"], "time": []}) == [
        *("`other`", "MLP", "not yet measured", ""),
    ]


def test_readmes_tables_are_what_the_file_says():
    text = README.read_text()
    assert with_tables(text, yaml.safe_load(RESULTS.read_text())) == text


def test_every_row_is_an_experiment_with_a_place_in_its_table():
    for spec in yaml.safe_load(RESULTS.read_text()).values():
        shown = [metric for metrics in spec["columns"].values() for metric in metrics]
        for row in spec["rows"].values():
            experiment = row["overrides"][0].removeprefix("experiment=")
            assert (ROOT / f"conf/experiment/{experiment}.yaml").is_file()
            assert set(row["metrics"]) <= set(shown)


@pytest.mark.parametrize(
    ("metric", "score", "words"),
    [
        ("test/accuracy", [0.93274, 0.0008], "93.27 ± 0.08 %"),
        ("test/accuracy", [0.761, 0.01], "76.1 ± 1.0 %"),
        ("test/accuracy", [0.941, None], "94.1 %"),
        ("test/auroc", [0.92951, 0.0002], "AUROC 0.9295 ± 0.0002"),
        ("test/rmse", [1204.4, 31.0], "RMSE 1204 ± 31"),
        ("test/perplexity", [216.04, None], "216"),
        ("time/fit_s", [1.43, 0.2], "1.4 s"),
        ("train/samples_per_second", [3652.0, 4.0], "3,650"),
    ],
)
def test_a_score_has_a_label(metric, score, words):
    assert metric_label(metric, score) == words


def test_the_difference_is_in_recorded_standard_deviations_or_percent():
    text = compared({"a": [5.0, 9.0], "b": [3.0, None], "c": [1.0, None]}, {"a": [4.0, 0.5], "b": [2.0, None]})
    assert text.splitlines() == [
        "  a: 5.0, recorded 4.0: +2.0 standard deviations",
        "  b: 3.0, recorded 2.0: +50.0 %",
        "  c: 1.0, not recorded yet",
    ]


def test_marks_that_are_missing_are_said():
    with pytest.raises(ConfigError, match=r"must have <!-- results: some --> .* once, got 0"):
        with_tables("nothing", TINY)


def test_all_are_the_rows_that_were_measured():
    rows = {"here": {"measured": {}}, "gpu": {}}
    assert find_rows(["all"], {"some": {"rows": rows}}) == {"here": "some"}


def test_a_row_that_does_not_exist_is_one_line(capsys):
    with pytest.raises(SystemExit):
        reproduce.main(["digit"])
    said = capsys.readouterr().err
    assert said.startswith("error: there is no row digit; did you mean digits?; there are ")
    assert said.count("\n") == 1


def test_a_run_that_fails_says_why_and_which_data_it_needs(places):
    with pytest.raises(
        ConfigError, match=r"tiny: train.py did not run: there is no key model\.x.*; tiny needs the moon: data_dir="
    ):
        redo(places, ["tiny", "model.x=1"], write=False)


def test_only_rows_as_they_stand_are_recorded(places):
    with pytest.raises(ConfigError, match=r"leave out model\.lr=1"):
        redo(places, ["tiny", "data_dir=x", "model.lr=1"], write=True)
