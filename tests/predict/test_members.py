"""Several checkpoints answer together: their mean, and how far they are apart."""

import csv

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

import predict
from src.core.check import check
from src.core.errors import ConfigError
from src.predict.members import spread_heads, together
from src.predict.text import predict as continue_prompt
from tests.predict.test_tables import CLASSES, FRAME, VALUES, expected, run, save
from tests.support.programs import composed, train_here

ANSWERS = np.array([[[0.2, 0.8], [0.7, 0.3]], [[0.6, 0.4], [0.9, 0.1]]])


def test_the_spread_is_the_deviation_of_the_labels_probability():
    means, spreads = together(ANSWERS, has_label=True)
    assert_allclose(means, [[0.4, 0.6], [0.8, 0.2]])
    assert_allclose(spreads, [[0.4 / 2**0.5], [0.2 / 2**0.5]])  # of 0.8 and 0.4; of 0.7 and 0.9


def test_without_a_label_each_output_has_its_spread():
    assert_allclose(together(ANSWERS, has_label=False)[1], np.array([[0.4, 0.4], [0.2, 0.2]]) / 2**0.5)
    assert spread_heads(2, ["a", "b"], has_label=False) == ["a spread", "b spread"]
    assert spread_heads(2, ["a"], has_label=False) == ["spread"]


def test_a_single_model_has_no_spread():
    assert together(ANSWERS[:1], has_label=True)[1].shape == (2, 0)
    assert spread_heads(1, ["a"], has_label=False) == []


@pytest.fixture
def source(tmp_path):
    FRAME.drop(columns=["late", "sales", "visits"]).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


@pytest.mark.parametrize("task", [CLASSES, VALUES])
def test_a_table_is_answered_by_the_mean_of_three(tmp_path, source, task):
    paths = [save(tmp_path / f"{seed}.ckpt", seed=seed, **task) for seed in range(3)]
    found = run(f"[{','.join(map(str, paths))}]", source)
    each = np.stack([expected(path) for path in paths])
    names = ["no", "yes"] if task is CLASSES else ["sales", "visits"]
    assert_allclose(found[names], each.mean(0), rtol=1e-5)
    spreads = each.std(0, ddof=1)
    if task is CLASSES:
        spreads = np.take_along_axis(spreads, each.mean(0).argmax(1)[:, None], 1)
    heads = ["spread"] if task is CLASSES else ["sales spread", "visits spread"]
    assert list(found.columns[-len(heads) :]) == heads
    assert_allclose(found[heads], spreads, rtol=1e-4, atol=1e-7)


def test_models_of_different_questions_do_not_answer_together(tmp_path, source):
    paths = [save(tmp_path / "a.ckpt", **CLASSES), save(tmp_path / "b.ckpt", **VALUES)]
    with pytest.raises(ConfigError, match="must have one task: the first has binary, number 2 has regression"):
        run(f"[{','.join(map(str, paths))}]", source)


def test_images_are_answered_by_the_mean_of_two(tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    paths = [train_here(tmp_path / f"{seed}", f"seed={seed}", "trainer.max_epochs=1") for seed in range(2)]
    paths = [path / "checkpoints" / "last.ckpt" for path in paths]

    def asked(checkpoint):
        places = [f"checkpoint={checkpoint}", f"input={tmp_path}/a.png", f"output={tmp_path}/out.csv"]
        assert predict.run(composed(*places, "device=cpu", name="predict")) == 0
        with (tmp_path / "out.csv").open(newline="") as file:
            ((_, label, *shares),) = list(csv.reader(file))[1:]
        return label, np.array(shares, float)

    label, shares = asked(f"[{paths[0]},{paths[1]}]")
    each = np.stack([asked(path)[1] for path in paths])
    assert_allclose(shares[:10], each.mean(0), atol=2e-6)
    assert label == str(each.mean(0).argmax())
    assert shares[10] == pytest.approx(each[:, int(label)].std(ddof=1), abs=2e-6)


def test_a_prompt_is_continued_by_one_model():
    with pytest.raises(ConfigError, match="continued by one language model"):
        continue_prompt([None, None], prompt="a", length=1, temperature=0, top_k=None, top_p=None, seed=0)


@pytest.mark.parametrize(("checkpoint", "words"), [("[]", "names no file"), ("[nowhere.ckpt]", "is not a file")])
def test_checkpoints_that_are_not_there_are_named(source, checkpoint, words):
    with pytest.raises(ConfigError, match=words):
        check(composed(f"checkpoint={checkpoint}", f"input={source}", name="predict"), predict.PREDICT)
