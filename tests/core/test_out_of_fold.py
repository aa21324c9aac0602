import csv

from src.core.out_of_fold import gather


def write(folder, job, rows, head="row,price"):
    (folder / job).mkdir()
    (folder / job / "out_of_fold.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / job / "config.yaml").write_text("datamodule:\n  num_folds: 2\n")


def table(folder):
    with (folder / "out_of_fold.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_rows_of_all_folds_are_in_the_order_of_the_data_whatever_the_order_of_jobs(tmp_path):
    write(tmp_path, "0", ["2,0.25", "10,0.5"])
    write(tmp_path, "1", ["1,7", "9,8"])
    gather(tmp_path, [{"job": "0", "datamodule.fold": "1"}, {"job": "1", "datamodule.fold": "0"}], [])
    rows = [["0", "1", "7"], ["1", "2", "0.25"], ["0", "9", "8"], ["1", "10", "0.5"]]
    assert table(tmp_path) == [["fold", "row", "price"], *rows]


def test_jobs_that_differ_in_more_than_the_fold_say_in_what(tmp_path, capsys):
    write(tmp_path, "0", ["1,7"])
    write(tmp_path, "1", ["1,8"])
    write(tmp_path, "2", ["2,9"])
    jobs = [("0", "1e-2", "0"), ("1", "1e-3", "0"), ("2", "1e-3", "1")]
    gather(tmp_path, [{"job": job, "model.lr": lr, "datamodule.fold": fold} for job, lr, fold in jobs], ["model.lr"])
    assert table(tmp_path)[1:] == [["1e-2", "0", "1", "7"], ["1e-3", "0", "1", "8"], ["1e-3", "1", "2", "9"]]
    assert "no predictions with model.lr=1e-2 of fold 1\n" in capsys.readouterr().err


def test_a_multirun_without_folds_leaves_no_file_not_even_an_older_one(tmp_path):
    (tmp_path / "out_of_fold.csv").write_text("old")
    gather(tmp_path, [{"job": "0", "seed": "1"}], ["seed"])
    assert not (tmp_path / "out_of_fold.csv").exists()


def test_a_job_that_failed_is_named_by_its_fold(tmp_path, capsys):
    write(tmp_path, "0", ["1,7"])
    gather(tmp_path, [{"job": "0", "datamodule.fold": "0"}, {"job": "1", "datamodule.fold": "1"}], [])
    assert "note: there are no predictions of fold 1\n" in capsys.readouterr().err
