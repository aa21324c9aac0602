import copy

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from torch import nn
from torch.testing import assert_close

from src.datamodules.loader import BatchLoader
from src.models.images import head_fit
from src.models.images.head_fit import PENALTIES, best_penalty, features_of, fit_linear, linear_head
from tests.support.tiny import AtBatch, TinyImages, classifier, labelled_images, save_after, trainer


@pytest.fixture
def rows():
    """Features, (40, 6), and classes that hang on them."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator)
    labels = (features @ torch.randn(6, 3, generator=generator)).argmax(1)
    return features, labels


def test_cross_entropy_gives_logistic_regression(rows):
    features, labels = rows
    head = nn.Linear(6, 3)
    fit_linear(head, features, labels, F.cross_entropy)
    known = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(features.numpy(), labels.numpy())
    expected = torch.from_numpy(known.predict_proba(features.numpy())).float()
    assert_close(head(features).softmax(1), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("penalty", [1, 100])
def test_the_penalty_is_the_inverse_of_scikit_learns(rows, penalty):
    features, labels = rows
    head = nn.Linear(6, 3)
    fit_linear(head, features, labels, F.cross_entropy, penalty)
    known = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(features.numpy(), labels.numpy())
    expected = torch.from_numpy(known.predict_proba(features.numpy())).float()
    assert_close(head(features).softmax(1), expected, atol=1e-3, rtol=0)


def test_noisy_features_get_a_higher_penalty_than_telling_ones(rows):
    features, labels = rows
    noise = torch.randn(40, 300, generator=torch.Generator().manual_seed(1))
    assert best_penalty(nn.Linear(6, 3), features * 3, labels, F.cross_entropy) == 1
    assert best_penalty(nn.Linear(300, 3), noise, labels, F.cross_entropy) == 1000


def test_the_penalty_is_that_of_the_least_held_out_loss(rows):
    features, labels = rows
    losses = {}
    for penalty in PENALTIES:
        models = [LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000) for _ in range(5)]
        folds = [torch.arange(40) % 5 == fold for fold in range(5)]
        losses[penalty] = sum(
            log_loss(labels[fold], model.fit(features[~fold], labels[~fold]).predict_proba(features[fold]))
            for model, fold in zip(models, folds, strict=True)
        )
    assert best_penalty(nn.Linear(6, 3), *rows, F.cross_entropy) == min(losses, key=losses.get)


def test_of_many_rows_one_fold_decides(rows, monkeypatch):
    features, labels = rows
    fits = []
    monkeypatch.setattr(head_fit, "fit_linear", lambda head, features, *rest: fits.append(len(features)))
    monkeypatch.setattr(head_fit, "MAX_ROWS_OF_ALL_FOLDS", 39)
    best_penalty(nn.Linear(6, 3), features, labels, F.cross_entropy)
    assert fits == [32] * len(PENALTIES)


def test_a_few_rows_are_not_divided(rows):
    features, labels = rows
    assert best_penalty(nn.Linear(6, 3), features[:9], labels[:9], F.cross_entropy) == 1


def test_squared_errors_give_ridge_regression(rows):
    features, _ = rows
    targets = features[:, :2] * 3 + 1
    head = nn.Linear(6, 2)
    fit_linear(head, features, targets, F.mse_loss)
    # mse_loss is the mean over both targets: half as large as Ridge's sum
    known = Ridge(alpha=1.0).fit(features.numpy(), targets.numpy())
    assert_close(head(features), torch.from_numpy(known.predict(features.numpy())).float(), atol=1e-2, rtol=0)


def test_a_fit_draws_no_random_number_and_leaves_no_gradient(rows):
    heads = [nn.Linear(6, 3), nn.Linear(6, 3)]
    before = torch.get_rng_state()
    for head in heads:
        fit_linear(head, *rows, F.cross_entropy)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert heads[0].weight.grad is None


def test_features_are_what_reaches_the_head_with_their_labels():
    head = nn.Linear(5, 2)
    net = nn.Sequential(nn.Flatten(), nn.ReLU(), head)
    batches = [(torch.randn(3, 5), torch.tensor([0, 1, 0])), (torch.randn(2, 5), torch.tensor([1, 1]))]
    features, labels = features_of(net, head, batches)
    assert torch.equal(features, torch.cat([images.relu() for images, _ in batches]))
    assert labels.tolist() == [0, 1, 0, 1, 1]
    assert not head._forward_pre_hooks


def test_rows_beyond_the_limit_are_left_out(monkeypatch):
    monkeypatch.setattr(head_fit, "MAX_ROWS", 4)
    head = nn.Linear(5, 2)
    batches = [(torch.randn(3, 5), torch.zeros(3))] * 4
    assert len(features_of(head, head, batches)[1]) == 6


def test_a_head_of_more_than_one_linear_layer_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    with pytest.raises(ValueError, match=r"model\.fit_head needs a net whose last layer group is one linear layer"):
        linear_head(net)


def test_a_training_begins_with_the_head_fitted_to_the_images_as_they_are():
    data = TinyImages()
    data.on_after_batch_transfer = lambda batch, index: (batch[0] // (2 if data.trainer.training else 1), batch[1])
    torch.manual_seed(0)
    model = classifier(fit_head=True)
    begun = AtBatch(lambda trainer, model: (model.training, copy.deepcopy(model.net)))
    trainer(1, begun).fit(model, data)
    is_training, net = begun.values[0]
    model.net = net.eval()
    images, labels = labelled_images(12)
    plain, augmented = nn.Linear(7, 3), nn.Linear(7, 3)
    fit_linear(plain, *features_of(model, net.head, [(images, labels)]), F.cross_entropy)
    fit_linear(augmented, *features_of(model, net.head, [(images // 2, labels)]), F.cross_entropy)
    assert is_training
    assert (net.head.weight - plain.weight).norm() < 0.1 * (net.head.weight - augmented.weight).norm()


def test_a_resumed_training_does_not_fit_its_head_again(tmp_path):
    path = tmp_path / "middle.ckpt"
    trainer(2, save_after(2, path)).fit(classifier(fit_head=True), TinyImages())
    saved = torch.load(path, weights_only=True)["state_dict"]["net.head.weight"]
    seen = AtBatch(lambda trainer, model: model.net.head.weight.clone())
    trainer(2, seen).fit(classifier(fit_head=True), TinyImages(), ckpt_path=path, weights_only=True)
    assert torch.equal(seen.values[0], saved)


def one_hot(labels):
    return F.one_hot(labels, 3).float()


def three_numbers(labels):
    return torch.stack([labels.float(), 2.0 * labels, -1.0 * labels], 1)


TASKS = [
    ("multilabel", one_hot, {}),
    ("regression", three_numbers, {"target_mean": [1, 2, -1], "target_std": [1, 2, 1]}),
]


@pytest.mark.parametrize(("task", "make", "facts"), TASKS)
def test_a_head_is_fitted_to_several_labels_and_to_numbers(task, make, facts):
    def loader(rows, seed=0):
        images, labels = labelled_images(rows, seed)
        return BatchLoader(images, make(labels), batch_size=4)

    data = TinyImages(task=task, **facts)
    data.train_dataloader, data.val_dataloader = lambda: loader(12), lambda: loader(7, 1)
    losses = []
    for fit_head in (True, False):
        torch.manual_seed(0)
        run = trainer(1, limit_train_batches=1)
        run.fit(classifier(fit_head=fit_head, lr=1e-9), data)
        losses.append(float(run.callback_metrics["val/loss"]))
    assert losses[0] < 0.95 * losses[1]
