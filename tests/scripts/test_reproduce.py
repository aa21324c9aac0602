"""README's tables: they are what docs/results.yaml says, and a row of it can be measured again."""

import pytest
import yaml

from scripts import reproduce
from scripts.reproduce import README, RESULTS, compared, find_rows, in_words, with_tables
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


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A results file of one row, a page with its marks, and a folder for runs."""
    folder = tmp_path_factory.mktemp("reproduce")
    (folder / "results.yaml").write_text(yaml.safe_dump({"some": {**TINY["some"], "rows": {"tiny": ROW}}}))
    (folder / "page.md").write_text("before\n<!-- results: some -->\n| old |\n<!-- end -->\nafter\n")
    return folder


def redo(folder, words, write):
    reproduce.reproduce(words, write, folder / "out", folder / "results.yaml", folder / "page.md")


@pytest.fixture(scope="module")
def written(places):
    """The same after a measurement of the row, one seed and one epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROW, "overrides", [*ROW["overrides"], "trainer.max_epochs=1"])
        text = yaml.safe_dump({"some": {**TINY["some"], "rows": {"tiny": {**ROW, "seeds": [1]}}}})
        (places / "results.yaml").write_text(text)
        redo(places, ["tiny"], write=True)
    return places


def test_a_measured_row_is_recorded_with_hardware_and_date(written):
    measured = yaml.safe_load((written / "results.yaml").read_text())["some"]["rows"]["tiny"]["measured"]
    assert measured.keys() == {"date", "hardware", "torch", "threads", "scores"}
    accuracy, deviation = measured["scores"]["test/accuracy"]
    assert 0 < accuracy < 1
    assert deviation is None


def test_the_page_gets_the_row_between_its_marks(written):
    lines = (written / "page.md").read_text().splitlines()
    assert lines[:3] == ["before", "<!-- results: some -->", "| experiment | net | score |"]
    assert lines[4].startswith("| `tiny` | CNNSmall | ")
    assert lines[4].count(" % / ") == 1
    assert lines[5:] == ["<!-- end -->", "after"]


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
def test_a_score_in_words(metric, score, words):
    assert in_words(metric, score) == words


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
        ConfigError, match=r"tiny did not run: there is no key model\.x.*; tiny needs the moon: data_dir="
    ):
        redo(places, ["tiny", "model.x=1"], write=False)


def test_only_rows_as_they_stand_are_recorded(places):
    with pytest.raises(ConfigError, match=r"leave out model\.lr=1"):
        redo(places, ["tiny", "data_dir=x", "model.lr=1"], write=True)
