import csv
import os
import shlex

import pytest

from tests.support.programs import (
    ROOT,
    SMALL,
    checkpoint_of,
    metrics_of,
    new_process,
    program,
    program_without_torch,
    same,
    scores_of,
    train_here,
)

SECRETS = {"WANDB_API_KEY": "5ec7e7" * 6 + "abcd", "AWS_SECRET_ACCESS_KEY": "wJalr-planted-K7MDENG"}


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    return train_here(tmp_path_factory.mktemp("small"))


def test_the_quick_default_reads_digits(digits_run):
    assert metrics_of(digits_run)["test/accuracy"] >= 0.97


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "metrics.csv", "metrics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "batch.png",
     "confusion_matrix.png"],
)  # fmt: skip
def test_a_run_leaves_what_the_design_promises(digits_run, name):
    assert (digits_run / name).stat().st_size > 0


@pytest.mark.parametrize(
    "name", ["val/loss", "val/accuracy", "test/accuracy", "train/samples_per_second", "time/fit_s", "memory/peak_mb"]
)
def test_metrics_json_holds_the_promised_numbers(digits_run, name):
    assert metrics_of(digits_run)[name] > 0


def test_a_run_without_a_terminal_draws_no_bars(digits_run):
    assert "Epoch" not in (digits_run / "stdout.txt").read_text()
    assert (digits_run / "stderr.txt").read_text() == ""


def test_the_last_checkpoint_is_the_last_even_if_an_earlier_one_was_better(digits_run):
    assert checkpoint_of(digits_run, "last")["epoch"] == 15  # 0 to 14 are done


def test_config_yaml_repeats_the_run(small_run, tmp_path):
    # One thread here as there; `callbacks.progress_bar` and the like come from the file.
    finished = program(
        "train.py", f"--config-path={small_run}", "--config-name=config", f"run_dir={tmp_path}/again", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    assert scores_of(tmp_path / "again") == scores_of(small_run)
    assert same(checkpoint_of(tmp_path / "again")["state_dict"], checkpoint_of(small_run)["state_dict"])
    assert str(small_run) not in (tmp_path / "again" / "config.yaml").read_text()  # all of it in its own folder


def test_the_same_seed_gives_the_same_run(small_run, tmp_path):
    again = train_here(tmp_path, "seed=0")
    assert same(checkpoint_of(again)["state_dict"], checkpoint_of(small_run)["state_dict"])
    assert scores_of(again) == scores_of(small_run)


def test_another_seed_gives_another_run(small_run, tmp_path):
    other = train_here(tmp_path, "seed=1")
    assert not same(checkpoint_of(other)["state_dict"], checkpoint_of(small_run)["state_dict"])


def test_a_checkpoint_is_tested_again_with_the_same_scores(small_run, tmp_path):
    tested = train_here(tmp_path, "task=test", f"checkpoint={small_run}/checkpoints/best.ckpt")
    before = {name: value for name, value in metrics_of(small_run).items() if name.startswith("test/")}
    assert {name: value for name, value in metrics_of(tested).items() if not name.startswith("memory")} == before


def test_a_checkpoint_is_validated(small_run, tmp_path):
    validated = train_here(tmp_path, "task=validate", f"checkpoint={small_run}/checkpoints/last.ckpt")
    assert metrics_of(validated)["val/loss"] == metrics_of(small_run)["val/loss"]


def test_testing_in_the_run_dir_keeps_what_the_training_wrote(tmp_path):
    train_here(tmp_path, "trainer.max_epochs=1")
    before, rows = metrics_of(tmp_path), (tmp_path / "metrics.csv").read_text()
    config = (tmp_path / "config.yaml").read_text()
    train_here(tmp_path, "task=test", f"checkpoint={tmp_path}/checkpoints/last.ckpt", "trainer.max_epochs=1")
    assert metrics_of(tmp_path) == {**before, "memory/peak_mb": metrics_of(tmp_path)["memory/peak_mb"]}
    assert (tmp_path / "metrics.csv").read_text().startswith(rows)
    assert (tmp_path / "config.yaml").read_text() == config


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_finished_run_is_not_trained_over(digits_run):
    before = contents(digits_run)
    finished = program_without_torch("train.py", f"run_dir={digits_run}", cwd=digits_run)
    expected = (
        f"run_dir={digits_run} holds a finished run: continue it with resume=true, or clear it with overwrite=true"
    )
    assert (finished.returncode, finished.stderr) == (1, f"error: {expected}\n")
    assert contents(digits_run) == before


def test_a_run_that_cannot_save_ends_with_status_1_and_one_line(tmp_path):
    limited = "import resource, runpy, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    (tmp_path / "limited.py").write_text(f"{limited}sys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')")
    arguments = [ROOT / "train.py", *SMALL, "callbacks=default", f"run_dir={tmp_path}/run", "trainer.max_epochs=1"]
    finished = program(tmp_path / "limited.py", *arguments, cwd=tmp_path, PYTHONPATH=str(ROOT))
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    expected = f"error: cannot save {path}: File too large; there is none from before\n"
    assert (finished.returncode, finished.stderr) == (1, expected)
    assert not (tmp_path / "run" / "finished").exists()


@pytest.fixture(scope="session")
def run_with_secrets(tmp_path_factory):
    """A run that records for W&B and as CSV, with two secrets in its environment."""
    run_dir = tmp_path_factory.mktemp("secrets") / "run"
    arguments = [*SMALL, "logger=[csv,wandb]", "trainer.max_epochs=1", f"run_dir={run_dir}"]
    finished = new_process("train.py", *arguments, cwd=run_dir.parent, **SECRETS)  # wandb's record of all of it
    assert finished.returncode == 0, finished.stderr
    (run_dir / "stdout.txt").write_text(finished.stdout)
    (run_dir / "stderr.txt").write_text(finished.stderr)
    return run_dir


@pytest.mark.long
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_of_the_environment_is_written_anywhere(run_with_secrets, secret):
    files = [path for path in run_with_secrets.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert kinds >= {".ckpt", ".csv", ".yaml", ".json", ".wandb", ".txt", ".log"}
    assert [path for path in files if SECRETS[secret].encode() in path.read_bytes()] == []


def test_a_multirun_gives_each_job_its_folder_and_prints_a_table(tmp_path):
    small = ["trainer.max_epochs=1", "callbacks=default", "datamodule.batch_size=400"]
    finished = program("train.py", "-m", "seed=0,1", f"run_dir={tmp_path}/sweep", *small, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    sweep = tmp_path / "sweep"
    for job, seed in (("0", "0"), ("1", "1")):
        assert f"\nseed: {seed}\n" in (sweep / job / "config.yaml").read_text()
        assert (sweep / job / "checkpoints" / "last.ckpt").is_file()
    with (sweep / "multirun.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert [float(row["test/accuracy"]) for row in rows] == [metrics_of(sweep / j)["test/accuracy"] for j in "01"]
    table = finished.stdout[finished.stdout.rindex("seed") :]
    assert f"{metrics_of(sweep / '1')['test/accuracy']:.4g}" in table


def test_table_best_trains_a_net_for_each_fold_which_answer_together(tmp_path):
    rows = [f"{row % 7},{('no', 'yes')[row % 2]}" for row in range(100)]
    (tmp_path / "own.csv").write_text("\n".join(["wind,late", *rows]))
    own = ["datamodule.train_files=own.csv", "datamodule.target=late", "datamodule.task=binary", "data_dir=."]
    short = ["trainer.max_epochs=1", "~callbacks.report", f"run_dir={tmp_path}/best"]
    finished = program("train.py", "experiment=table_best", *own, *short, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "best" / "out_of_fold.csv").open() as file:
        assert sorted(row["fold"] for row in csv.DictReader(file)) == sorted("01234" * 20)
    command = next(line for line in finished.stdout.splitlines() if "python predict.py" in line)
    asked = shlex.split(command.split("python predict.py ")[1].replace("FILE", "own.csv"))
    finished = program("predict.py", *asked, "output=answers.csv", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "answers.csv").open() as file:
        assert len([float(row["spread"]) for row in csv.DictReader(file)]) == 100


@pytest.mark.long
def test_two_processes_share_a_folder_and_see_each_row_once(tmp_path):
    small = ["trainer.max_epochs=2", "callbacks=images", "datamodule.batch_size=32", "trainer.log_every_n_steps=5"]
    run_dir = tmp_path / "run"
    finished = program("train.py", "trainer=ddp_cpu", f"run_dir={run_dir}", *small, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert os.listdir(tmp_path) == ["run"]
    metrics = metrics_of(run_dir)
    # 1,294 rows in batches of 2 x 32, the incomplete one dropped, twice; 359 rows tested, a multiple of 1/359 right
    assert metrics["train/steps"] == 40
    assert metrics["test/accuracy"] * 359 == pytest.approx(round(metrics["test/accuracy"] * 359), abs=1e-3)
    with (run_dir / "metrics.csv").open() as file:
        steps = [row["step"] for row in csv.DictReader(file) if row["train/loss"]]
    assert steps == [str(step) for step in range(4, 40, 5)]
