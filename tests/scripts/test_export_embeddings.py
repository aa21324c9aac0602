import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from scripts.export_embeddings import draw_map, export, flattened, main, vector_table
from src.serving.tables.entity_embedder import EntityEmbedder

FRAME = pd.DataFrame({"in/out": ["a", "b", "b"] * 10, "open": [True, False] * 15, "late": ["no", "yes", "no"] * 10})


@pytest.fixture(scope="module")
def embedder():
    few = ["trainer.max_epochs=1", "trainer.accelerator=cpu"]
    return EntityEmbedder.train(FRAME, target="late", task="binary", overrides=few)


def test_each_column_gets_a_table_and_a_map(embedder, tmp_path):
    export(embedder.checkpoint, tmp_path / "new", "pca")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"in_out.parquet", "in_out.png", "open.parquet", "open.png"}
    with Image.open(tmp_path / "new" / "open.png") as image:
        assert image.size == (1100, 850)


def test_a_table_holds_the_vector_of_each_category(embedder, tmp_path):
    export(embedder.checkpoint, tmp_path, "pca")
    table = pd.read_parquet(tmp_path / "in_out.parquet")
    assert table["category"].tolist() == ["<missing>", "<unknown>", "b", "a"]
    assert table["code"].tolist() == [0, 1, 2, 3]
    features = embedder.transform(FRAME.iloc[:1])[0]
    assert_array_equal(table.filter(like="vector_").iloc[3], features[: len(table.columns) - 2])


def test_principal_components_keep_the_distances_of_a_plane():
    random = np.random.default_rng(0)
    plane = random.normal(size=(7, 2)) @ np.linalg.qr(random.normal(size=(5, 5)))[0][:2] + 3
    places, names = flattened(plane, "pca")
    assert_allclose(np.linalg.norm(places - places[0], axis=1), np.linalg.norm(plane - plane[0], axis=1))
    assert places[:, 0].std() > places[:, 1].std()
    assert names[0].startswith("principal component 1 (")


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (4, 1), (5, 3)])
@pytest.mark.parametrize("kind", ["pca", "tsne"])
def test_columns_of_any_size_are_drawn(shape, kind):
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert flattened(vectors, kind)[0].shape == (shape[0], 2)


def labels_of(figure):
    """The boxes of the labels, by their texts."""
    return {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}


def test_labels_stand_apart_and_the_most_frequent_come_first():
    random = np.random.default_rng(0)
    figure = draw_map("shop", [f"category {n}" for n in range(300)], random.normal(size=(300, 5)), "pca")
    boxes = labels_of(figure)
    assert len(boxes) > 40
    assert all(box.count_overlaps(list(boxes.values())) == 1 for box in boxes.values())  # itself
    assert "category 0" in boxes
    assert f"{len(boxes)} of 300 with names" in figure.axes[0].get_title(loc="left")


def test_texts_are_written_as_they_are_and_not_too_long():
    figure = draw_map("shop", [r"$\no$", "two\nlines", "a" * 50], np.eye(3), "pca")
    assert set(labels_of(figure)) == {r"$\no$", "two lines", f"{'a' * 29}\N{HORIZONTAL ELLIPSIS}"}


def test_vectors_have_a_column_for_each_number():
    assert vector_table(["x", "y"], np.array([[1.0, 2.0], [3.0, 4.0]])).to_pydict() == {
        "code": [0, 1],
        "category": ["x", "y"],
        "vector_0": [1.0, 3.0],
        "vector_1": [2.0, 4.0],
    }


def test_a_mistake_is_told_in_a_line(capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["--checkpoint", "x.ckpt", "--out", "y"])
    assert capsys.readouterr().err == "error: checkpoint x.ckpt does not exist\n"
