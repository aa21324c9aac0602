import pickle
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from src.serving.tables.entity_embedder import EntityEmbedder
from src.training.checkpoint import load_model
from tests.support.tiny import built as built_classifier

FEW = ["trainer.max_epochs=2", "trainer.accelerator=cpu"]


def shops(rows=120, seed=0):
    """Shops a, b and c are late, d, e and f are not; some have no name."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "shop": random.choice(["a", "b", "c", "d", "e", "f"], rows),
            "open": random.choice([True, False], rows),
            "size": random.normal(5, 3, rows),
        },
        index=pd.RangeIndex(1000, 1000 + rows),
    )
    frame["late"] = np.where(frame["shop"] < "d", "yes", "no")
    frame.loc[1003, ["shop", "size"]] = None
    return frame


FRAME = shops()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("embedder") / "late.ckpt"
    EntityEmbedder.train(FRAME, target="late", task="binary", checkpoint=path, overrides=FEW)
    return path


@pytest.fixture
def embedder(checkpoint):
    return EntityEmbedder(checkpoint).fit(FRAME)


def test_rows_get_the_vectors_that_the_net_looks_up(checkpoint, embedder):
    codes = torch.from_numpy(embedder.processing_.codes(FRAME))
    features = embedder.transform(FRAME)
    assert features.dtype == np.float32
    assert_array_equal(features, load_model(checkpoint).net.embedding(codes).detach().numpy())


def test_unseen_and_missing_categories_have_vectors_of_their_own(checkpoint, embedder):
    vectors = load_model(checkpoint).net.embedding.vectors(0).numpy()
    features = embedder.transform(pd.DataFrame({"shop": ["new", None], "open": [True, True]}))
    assert_array_equal(features[:, : vectors.shape[1]], vectors[[1, 0]])


def test_a_table_of_arrow_and_text_give_the_same_vectors(embedder):
    text = FRAME.assign(open=FRAME["open"].map({True: "true", False: "FALSE"}), size=FRAME["size"].map(str))
    numbers = FRAME.assign(open=FRAME["open"].astype(int))
    expected = embedder.transform(FRAME)
    for table in (pa.table(FRAME), text, numbers, FRAME.astype(object), FRAME.astype({"shop": "category"})):
        assert_array_equal(embedder.transform(table), expected)


def test_columns_may_be_named_by_numbers():
    frame = FRAME.set_axis([0, 1, 2, 3], axis=1)
    embedder = EntityEmbedder.train(frame, target=3, task="binary", categorical=[0, 1], overrides=FEW)
    named = EntityEmbedder.train(FRAME, target="late", task="binary", categorical=["shop", "open"], overrides=FEW)
    assert_array_equal(embedder.transform(frame), named.transform(FRAME))
    assert embedder.get_feature_names_out().tolist()[:2] == ["0_0", "0_1"]


def test_words_that_pandas_takes_for_missing_are_what_they_were(tmp_path, capsys):
    words = FRAME.assign(shop=FRAME["shop"].fillna("a").replace("a", "None"))
    path = tmp_path / "words.csv"
    words.to_csv(path, index=False)
    embedder = EntityEmbedder.train(words, target="late", task="binary", overrides=FEW)
    assert pd.read_csv(path)["shop"].isna().any()
    assert_array_equal(embedder.transform(pd.read_csv(path)), embedder.transform(words))


def test_features_have_names(embedder):
    names = embedder.get_feature_names_out().tolist()
    assert names == ["shop_0", "shop_1", "shop_2", "shop_3", "shop_4", "open_0", "open_1", "open_2"]


def test_all_inputs_of_the_net_are_to_be_had(checkpoint):
    embedder = EntityEmbedder(checkpoint, output="inputs").fit(FRAME)
    features = embedder.transform(FRAME)
    assert embedder.get_feature_names_out()[-2:].tolist() == ["size", "size_missing"]
    assert_array_equal(features[:, -2:], embedder.processing_.numbers(FRAME))
    assert features.shape[1] == 5 + 3 + 2


def test_columns_are_found_by_name_whatever_else_there_is(embedder):
    expected = embedder.transform(FRAME)
    assert_array_equal(embedder.transform(FRAME[["open", "shop"]]), expected)
    assert_array_equal(embedder.transform(FRAME.assign(more=1, shop=FRAME["shop"].astype("category"))), expected)


def test_a_net_without_categories_gives_no_vectors():
    embedder = EntityEmbedder.train(FRAME[["size", "late"]], target="late", task="binary", overrides=FEW)
    assert embedder.transform(FRAME).shape == (120, 0)


def test_a_clone_is_not_fitted_and_gives_the_same(embedder):
    copy = clone(embedder)
    with pytest.raises(NotFittedError):
        copy.transform(FRAME)
    assert_array_equal(copy.fit(FRAME).transform(FRAME), embedder.transform(FRAME))


def test_a_fitted_one_goes_through_pickle_without_its_checkpoint(embedder):
    embedder.checkpoint = "gone.ckpt"
    assert_array_equal(pickle.loads(pickle.dumps(embedder)).transform(FRAME), embedder.transform(FRAME))


def test_it_knows_what_it_was_fitted_on(embedder):
    assert embedder.n_features_in_ == 4
    assert embedder.feature_names_in_.tolist() == ["shop", "open", "size", "late"]


def test_output_may_be_pandas(embedder):
    frame = embedder.set_output(transform="pandas").transform(FRAME)
    assert list(frame.columns) == list(embedder.get_feature_names_out())
    assert frame.index.equals(FRAME.index)


def test_a_column_transformer_gives_it_its_columns(checkpoint, embedder):
    parts = [("embed", EntityEmbedder(checkpoint), ["shop", "open"]), ("keep", "passthrough", ["size"])]
    both = ColumnTransformer(parts)
    features = both.fit_transform(FRAME)
    assert_array_equal(features[:, :-1], embedder.transform(FRAME))
    assert both.get_feature_names_out()[-2:].tolist() == ["embed__open_2", "keep__size"]


def test_a_grid_search_tunes_a_pipeline_of_it(checkpoint):
    pipeline = make_pipeline(EntityEmbedder(checkpoint), LogisticRegression())
    search = GridSearchCV(pipeline, {"entityembedder__output": ["vectors", "inputs"]}, cv=2, error_score="raise")
    assert search.fit(FRAME, FRAME["late"]).best_score_ > 0.6


class OnArrays(EntityEmbedder):
    """Gives the columns of arrays, which scikit-learn's checks are made of, the names 0, 1, 2 ..."""

    def fit(self, X, y=None):
        return super().fit(self.named(X, ensure_min_samples=2))

    def transform(self, X):
        return super().transform(self.named(X, reset=False) if hasattr(self, "vectors_") else X)

    def named(self, X, **choices):
        return pd.DataFrame(validate_data(self, X, ensure_all_finite="allow-nan", **choices)).rename(columns=str)


def test_scikit_learn_finds_nothing_wrong():
    column = pd.DataFrame({"0": np.arange(40) % 4, "late": np.arange(40) % 2})
    path = EntityEmbedder.train(column, target="late", task="binary", overrides=FEW).checkpoint
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that are skipped
        results = check_estimator(OnArrays(path), on_fail=None)
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []
    assert sum(result["status"] == "passed" for result in results) > 40


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME[["shop"]], "the table has no column 'open'"),
        (FRAME.rename(columns={"shop": "Shop"}), "no column 'shop'; did you mean 'Shop'"),
        (FRAME.to_numpy(), "give a pandas or pyarrow table, got ndarray"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(checkpoint, embedder, frame, message):
    with pytest.raises(ValueError, match=message):
        EntityEmbedder(checkpoint).fit(frame)
    with pytest.raises(ValueError, match=message):
        embedder.transform(frame)


def test_another_output_is_refused(checkpoint):
    with pytest.raises(ValueError, match="output must be vectors or inputs, got codes"):
        EntityEmbedder(checkpoint, output="codes").fit(FRAME)


def test_the_checkpoint_of_another_model_is_refused(monkeypatch):
    monkeypatch.setattr("src.serving.tables.entity_embedder.load_model", lambda *_: built_classifier())
    with pytest.raises(ValueError, match=r"a.ckpt holds no entity embeddings: train with model=tabular_model"):
        EntityEmbedder("a.ckpt").fit(FRAME)


def trained(frame=FRAME, task="binary", **changes):
    return EntityEmbedder.train(frame, target="late", task=task, **({"overrides": FEW} | changes))


def test_what_is_alike_gets_vectors_that_are_alike():
    embedder = trained(shops(600), overrides=["trainer.max_epochs=8"])
    vectors = dict(zip(embedder.processing_.categories("shop"), embedder.vectors_[0], strict=True))
    apart = {name: np.linalg.norm(vectors["a"] - vectors[name]) for name in "bcdef"}
    assert max(apart[name] for name in "bc") < 0.7 * min(apart[name] for name in "def")


def test_training_only_warns_and_leaves_chance_alone(capfd):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    trained()
    shown, told = capfd.readouterr()
    assert shown == ""
    assert told.splitlines() == [told.rstrip("\n")]
    assert told.startswith("warning: late can be read off shop (1.000) alone")  # it makes the target
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


def test_a_seed_repeats():
    first = trained(seed=1)
    torch.rand(1)
    again, other = trained(seed=1), trained(seed=2)
    assert_array_equal(first.vectors_[0], again.vectors_[0])
    assert (first.vectors_[0] != other.vectors_[0]).any()


def test_choices_of_table_and_net_are_passed_on():
    embedder = trained(categorical=["shop"], continuous=[], overrides=[*FEW, "model.net.embedding_width=2"])
    assert embedder.get_feature_names_out().tolist() == ["shop_0", "shop_1"]


def test_values_may_be_predicted_too():
    assert trained(FRAME.assign(late=FRAME["open"] + 1.5), "regression").transform(FRAME).shape == (120, 8)


def test_a_table_of_few_rows_trains():
    assert trained(shops(12)).transform(FRAME).shape[0] == 120


def test_the_checkpoint_is_plain_data(checkpoint):
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["hyper_parameters"]["spec"]["class_names"] == ["no", "yes"]


def out_of_fold(frame, **changes):
    arguments = {"target": "late", "task": "binary", "folds": 3, "overrides": FEW, "min_freq": 1}
    return EntityEmbedder.train_out_of_fold(frame, **(arguments | changes))


def test_each_row_is_in_one_fold():
    rows = [rows for _, rows in out_of_fold(FRAME)]
    assert sorted(np.concatenate(rows)) == list(range(120))
    assert [len(r) for r in rows] == [40, 40, 40]


def test_an_embedder_has_not_seen_the_rows_of_its_fold():
    frame = FRAME.assign(shop=[f"shop {row}" for row in range(len(FRAME))])
    for embedder, rows in out_of_fold(frame, categorical=["shop"]):
        names = set(embedder.processing_.categories("shop"))
        assert names.isdisjoint(frame["shop"].iloc[rows])
