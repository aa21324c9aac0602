from src.core.multirun import over_repeats, print_table, tell_how_to_ask

ROWS = [
    {"job": "0", "model.lr": "1", "seed": "0", "test/accuracy": 0.5},
    {"job": "1", "model.lr": "1", "seed": "1", "test/accuracy": 0.7},
    {"job": "2", "model.lr": "2", "seed": "0", "test/accuracy": 0.9},
]


def test_jobs_that_differ_in_seed_alone_are_averaged():
    # mean of 0.5 and 0.7; deviation sqrt(2 * 0.1^2 / (2 - 1))
    expected = {"job": "mean", "model.lr": "1", "test/accuracy": "0.6 ±0.14"}
    assert over_repeats(ROWS, ["job", "model.lr", "seed"], ["test/accuracy"]) == [expected]


def test_jobs_that_differ_in_fold_and_seed_alone_are_averaged():
    rows = [
        {"job": str(job), "seed": seed, "datamodule.fold": fold, "test/auroc": score}
        for job, (seed, fold, score) in enumerate([("0", "0", 0.5), ("0", "1", 0.6), ("1", "0", 0.7), ("1", "1", 0.8)])
    ]
    (summary,) = over_repeats(rows, ["job", "seed", "datamodule.fold"], ["test/auroc"])
    assert summary == {"job": "mean", "test/auroc": "0.65 ±0.13"}


def test_a_job_without_scores_leaves_the_mean_to_the_others():
    failed = [{"job": "3", "model.lr": "1", "seed": "2"}]
    (summary,) = over_repeats(ROWS + failed, ["job", "model.lr", "seed"], ["test/accuracy"])
    assert summary["test/accuracy"] == "0.6 ±0.14"


def test_the_table_shows_a_dash_where_a_job_has_no_score(capsys):
    print_table([{"job": "0", "test/accuracy": 0.123456}, {"job": "1"}], ["job", "test/accuracy"])
    first, second = [line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert (first, second) == ("0.1235", "-")


def test_the_folds_are_asked_together_where_they_have_predicted_rows(tmp_path, capsys):
    for job in "01":
        (tmp_path / job / "checkpoints").mkdir(parents=True)
        (tmp_path / job / "checkpoints" / "best.ckpt").touch()
    rows = [{"job": "0"}, {"job": "1"}, {"job": "2"}]  # the last one has failed
    tell_how_to_ask(tmp_path, rows)
    assert capsys.readouterr().out == ""
    (tmp_path / "out_of_fold.csv").touch()
    tell_how_to_ask(tmp_path, rows[:1])
    assert capsys.readouterr().out == ""
    tell_how_to_ask(tmp_path, rows)
    paths = ",".join(f"{tmp_path}/{job}/checkpoints/best.ckpt" for job in "01")
    assert capsys.readouterr().out.endswith(f"python predict.py 'checkpoint=[{paths}]' input=FILE\n")
