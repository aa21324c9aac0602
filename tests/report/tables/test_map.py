import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from src.report.tables.columns import Category
from src.report.tables.map import draw_category_map, principal_components


def category(count):
    return Category("shop", 0, ["<missing>", "<unknown>", *(f"shop {number}" for number in range(count))])


def mapped(count, width=5, texts=None, counts=None, **choices):
    vectors = np.random.default_rng(0).normal(size=(count + 2, width)).astype(np.float32)
    column = Category("shop", 0, ["<missing>", "<unknown>", *texts]) if texts else category(count)
    return draw_category_map(
        column, vectors, np.arange(count + 2)[::-1] if counts is None else np.array(counts), **choices
    )


def labels_of(drawn):
    drawn.figure.draw_without_rendering()
    return {text.get_text(): text.get_window_extent() for text in drawn.figure.axes[0].texts}


def test_principal_components_keep_the_distances_of_a_plane():
    random = np.random.default_rng(0)
    plane = random.normal(size=(7, 2)) @ np.linalg.qr(random.normal(size=(5, 5)))[0][:2] + 3
    places, shares = principal_components(plane)
    assert_allclose(np.linalg.norm(places - places[0], axis=1), np.linalg.norm(plane - plane[0], axis=1))
    assert shares[0] > shares[1]
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(("count", "kind"), [(3, "pca"), (30, "pca"), (31, "tsne"), (230, "tsne")])
def test_many_categories_are_neighbours_few_are_components(count, kind):
    drawn = mapped(count)
    assert drawn.shown == min(count, 200)
    assert (drawn.explained is None) == (kind == "tsne")


def test_components_are_drawn_of_many_categories_if_they_are_asked_for():
    drawn = mapped(230, by_pca=True)
    assert drawn.shown == 200
    assert drawn.explained is not None


@pytest.mark.parametrize("width", [1, 2])
def test_narrow_vectors_are_drawn(width):
    assert mapped(4, width).explained == pytest.approx(1)


def test_a_map_by_neighbours_is_the_same_each_time():
    first, second = (mapped(40).figure.axes[0].collections[0].get_offsets() for _ in range(2))
    assert_array_equal(first, second)


def test_labels_stand_apart_and_the_most_frequent_come_first():
    drawn = mapped(150, counts=[0, 0, *range(150)])
    boxes = labels_of(drawn)
    assert len(boxes) == drawn.named > 20
    assert all(box.count_overlaps(list(boxes.values())) == 1 for box in boxes.values())  # itself
    assert "shop 149" in boxes
    assert "shop 0" not in boxes


def test_areas_go_by_frequency():
    sizes = mapped(3, counts=[7, 7, 100, 50, 0]).figure.axes[0].collections[0].get_sizes()
    assert sizes[0] == 2 * sizes[1]
    assert sizes[2] > 0  # still to be seen


def test_texts_are_written_as_they_are_and_not_too_long():
    drawn = mapped(3, texts=[r"$\no$", "two\nlines", "a" * 50])
    assert set(labels_of(drawn)) == {r"$\no$", "two lines", f"{'a' * 29}\N{HORIZONTAL ELLIPSIS}"}
