import numpy as np

from src.report.confusion import draw_confusion
from src.report.images.outcomes import Confusion, Outcomes, confusions_of

COUNTS = np.array([[5, 1, 0], [0, 7, 0], [0, 2, 8]])


def cells(figure):
    return {text.get_position(): text.get_text() for text in figure.axes[0].texts}


def test_a_row_is_a_true_class_and_a_column_a_predicted_one():
    figure = draw_confusion(COUNTS, ["cat", "dog", "owl"])
    assert cells(figure) == {(0, 0): "5", (1, 0): "1", (1, 1): "7", (1, 2): "2", (2, 2): "8"}  # (column, row)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted", "true")


def test_the_title_says_how_many_are_right():
    assert draw_confusion(COUNTS, ["cat", "dog", "owl"]).axes[0].get_title() == "20 of 23 right"


def test_a_class_without_rows_is_drawn_empty():
    assert cells(draw_confusion(np.array([[3, 0], [0, 0]]), ["cat", "dog"])) == {(0, 0): "3"}


def test_many_classes_are_drawn_without_numbers_on_a_page_s_width():
    figure = draw_confusion(np.eye(120, dtype=int), [f"class {i}" for i in range(120)])
    assert cells(figure) == {}
    assert figure.get_figwidth() <= 10


def test_the_most_frequent_confusion_comes_first_with_its_worst_mistake():
    outcomes = Outcomes(
        rows=np.arange(6),
        labels=np.array([0, 2, 1, 2, 2, 0]),
        predicted=np.array([0, 1, 1, 1, 1, 2]),
        confidence=np.full(6, 0.5),
        losses=np.array([9.0, 1.0, 8.0, 3.0, 2.0, 4.0]),
        total=6,
    )
    assert confusions_of(outcomes, 3) == [Confusion(2, 1, 3, example=3), Confusion(0, 2, 1, example=5)]
