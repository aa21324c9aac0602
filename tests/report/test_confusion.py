import io

import numpy as np

from src.report.confusion import confusion_plot, draw_confusion

COUNTS = np.array([[5, 1, 0], [0, 7, 0], [0, 2, 8]])


def cells(figure):
    return {text.get_position(): text.get_text() for text in figure.axes[0].texts}


def test_a_row_is_a_true_class_and_a_column_a_predicted_one():
    figure = draw_confusion(COUNTS, ["cat", "dog", "owl"])
    assert cells(figure) == {(0, 0): "5", (1, 0): "1", (1, 1): "7", (1, 2): "2", (2, 2): "8"}  # (column, row)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted", "true")


def test_the_title_says_how_many_are_correct():
    assert draw_confusion(COUNTS, ["cat", "dog", "owl"]).axes[0].get_title() == "20 of 23 correct"


def test_a_class_without_rows_is_drawn_empty():
    assert cells(draw_confusion(np.array([[3, 0], [0, 0]]), ["cat", "dog"])) == {(0, 0): "3"}


def test_many_classes_are_drawn_without_numbers_on_a_page_s_width():
    figure = draw_confusion(np.eye(120, dtype=int), [f"class {i}" for i in range(120)])
    assert cells(figure) == {}
    assert figure.get_figwidth() <= 10


def test_the_plot_counts_the_diagonal():
    assert "; 20 of 23 rows lie on the diagonal" in confusion_plot(COUNTS, ["cat", "dog", "owl"], "rows").alt


def test_class_names_are_drawn_as_they_are_and_in_short():
    figure = draw_confusion(np.eye(3, dtype=int), [r"$\a$", "a" * 300, "two\nlines"])
    figure.savefig(io.BytesIO(), format="png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [r"$\a$", "a" * 23 + "\N{HORIZONTAL ELLIPSIS}", "two lines"]


def test_up_to_thirty_classes_have_numbers_and_fifty_have_names():
    assert len(cells(draw_confusion(np.eye(30, dtype=int), ["x"] * 30))) == 30
    assert cells(draw_confusion(np.eye(31, dtype=int), ["x"] * 31)) == {}
    assert len(draw_confusion(np.eye(50, dtype=int), ["x"] * 50).axes[0].get_xticks()) == 50
    assert len(draw_confusion(np.eye(51, dtype=int), ["x"] * 51).axes[0].get_xticks()) == 26


def test_the_shade_is_the_root_of_the_row_s_share():
    shades = draw_confusion(np.array([[3, 1], [0, 0]]), ["a", "b"]).axes[0].images[0].get_array()
    assert shades.tolist() == [[0.75**0.5, 0.5], [None, None]]
