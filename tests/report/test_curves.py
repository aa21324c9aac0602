import pandas as pd
import pytest

from src.report.curves import spans_decades, thinned, training_curves

HEADER = "step,epoch,memory/mb,test/accuracy,train/loss,train/lr,val/accuracy,val/loss,val/macro_f1\n"


def section(folder, *rows, monitor="val/accuracy"):
    (folder / "metrics.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return training_curves(folder / "metrics.csv", monitor)


def lines_of(plot):
    """(label, steps, values) of each line."""
    return [(ln.get_label(), [*ln.get_xdata()], [*ln.get_ydata()]) for ln in plot.source.axes[0].lines]


def test_the_loss_comes_first_then_the_score_that_chooses_the_checkpoint(tmp_path):
    row = "9,0,600,,0.5,0.1,0.9,0.6,0.8"
    assert [p.title for p in section(tmp_path, row, monitor="val/macro_f1").parts] == [
        "Loss", "Macro F1, validation", "Accuracy, validation", "Learning rate", "Memory, MB"
    ]  # fmt: skip


def test_a_curve_has_the_values_of_its_column_over_their_steps(tmp_path):
    loss, *_ = section(tmp_path, "9,,,,0.5,,,,", "9,0,,,,,,0.7,", "19,1,,,0.25,,,,").parts
    assert lines_of(loss) == [("training", [9, 19], [0.5, 0.25]), ("validation", [9], [0.7])]
    assert loss.alt == "Loss over the steps: training from 0.5 to 0.25, validation from 0.7 to 0.7."


def test_a_test_is_no_step_of_the_training(tmp_path):
    found = section(tmp_path, "9,0,,,0.5,,,,", "19,1,,,0.25,,,,", "20,2,,0.9,,,,,")
    assert found.note.startswith("20 steps in 2 epochs;")


def test_a_loss_that_is_not_finite_leaves_a_gap(tmp_path):
    loss, *_ = section(tmp_path, "9,0,,,0.5,,,,", "19,0,,,inf,,,,", "29,0,,,0.25,,,,").parts
    assert lines_of(loss)[0][1] == [9, 29]


def test_there_are_no_curves_before_the_first_row(tmp_path):
    assert training_curves(tmp_path / "metrics.csv", "val/loss") is None
    assert section(tmp_path) is None


def test_a_long_noisy_line_is_smoothed_with_its_points_behind_it(tmp_path):
    loss, rate, *_ = section(tmp_path, *(f"{step},0,,,{step % 2},{step % 2},,," for step in range(100))).parts
    faint, strong = lines_of(loss)
    assert set(faint[2]) == {0, 1}
    assert strong[2][-1] == pytest.approx(0.5, abs=0.1)
    assert set(lines_of(rate)[0][2]) == {0, 1}  # a schedule is exact


def test_thinning_keeps_both_ends():
    found = thinned(pd.Series(range(10_000)))
    assert (len(found), found.iloc[0], found.iloc[-1]) == (500, 0, 9999)
    assert [len(thinned(pd.Series(range(count)))) for count in (499, 500, 501)] == [499, 500, 500]


def test_values_far_apart_and_positive_span_decades():
    assert spans_decades([pd.Series([0.01, 0.1]), pd.Series([1.0])])
    assert not spans_decades([pd.Series([1.0]), pd.Series([50.0])])
    assert not spans_decades([pd.Series([0.0, 1.0])])


def test_one_epoch_is_not_plural(tmp_path):
    assert section(tmp_path, "9,0,,,0.5,,,,").note.startswith("10 steps in 1 epoch;")


def test_thirty_points_are_drawn_as_they_are(tmp_path):
    loss, *_ = section(tmp_path, *(f"{step},0,,,{step % 2},,,," for step in range(30))).parts
    assert len(lines_of(loss)) == 1


def test_losses_of_different_size_get_a_logarithmic_axis_and_memory_starts_at_zero(tmp_path):
    loss, memory = section(tmp_path, "9,0,600,,100,,,,", "19,0,650,,1,,,,").parts
    assert loss.source.axes[0].get_yscale() == "log"
    assert (memory.source.axes[0].get_yscale(), memory.source.axes[0].get_ylim()[0]) == ("linear", 0)
