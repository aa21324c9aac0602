"""Fits a linear head to the features that its body gives, before the training itself."""

from collections.abc import Callable, Iterable
from itertools import takewhile

import torch
from torch import Tensor, nn

from src.models.layer_groups import layer_groups

MAX_ROWS = 20_000  # 1280 features of so many images are 100 MB; more rows hardly move the optimum
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
NUM_FOLDS = 5
MAX_ROWS_OF_ALL_FOLDS = 2000  # with more rows one fold tells the penalties apart


def linear_head(net: nn.Module) -> nn.Linear:
    """Return the net's last layer group; ValueError if it is not one linear layer."""
    *_, head = layer_groups(net)
    if len(head) != 1 or not isinstance(head[0], nn.Linear):
        raise ValueError(f"model.fit_head needs a net whose last layer group is one linear layer, {head} is not")
    return head[0]


@torch.no_grad()
def features_of(
    net: Callable[[Tensor], Tensor], head: nn.Linear, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return what reaches the head, float32 (rows, features), and the labels, of at most MAX_ROWS rows.

    Args:
        net: called with the images of each batch; the head is a part of it.
        head: the layer whose inputs are kept.
        batches: (images, labels).
    """
    kept: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0].float()))
    try:
        for images, of_images in takewhile(lambda _: sum(map(len, labels)) < MAX_ROWS, batches):
            net(images)
            labels.append(of_images)
    finally:
        hook.remove()
    return torch.cat(kept), torch.cat(labels)


def best_penalty(head: nn.Linear, features: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the penalty with the least loss of held-out rows, each fifth row in turn; arguments as for `fit_linear`.

    Features that say little need a thousand times the penalty of those that tell the classes apart.
    """
    if len(features) < 2 * NUM_FOLDS:
        return PENALTIES[0]
    fold_of = torch.arange(len(features), device=features.device) % NUM_FOLDS
    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(NUM_FOLDS if len(features) <= MAX_ROWS_OF_ALL_FOLDS else 1):
        held_out = fold_of == fold
        for penalty in PENALTIES:
            fit_linear(head, features[~held_out], labels[~held_out], loss, penalty)
            with torch.no_grad():
                losses[penalty] += float(loss(head(features[held_out]), labels[held_out]))
    return min(PENALTIES, key=lambda penalty: losses[penalty])


def fit_linear(
    head: nn.Linear,
    features: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    penalty: float = 1.0,
) -> None:
    """Give a linear layer the weights of the least loss plus a share of their squares' sum.

    With cross-entropy this is logistic regression, with a penalty of 1 as scikit-learn does it by default. It starts
    from zero and draws no random number.

    Args:
        head: the layer.
        features: its inputs, (rows, features).
        labels: of the rows.
        loss: the mean over rows of outputs, (rows, outputs), and labels.
        penalty: the weights' squares' sum counts by a half of it, divided by the rows; scikit-learn's 1 / C.
    """
    parameters = [p for p in (head.weight, head.bias) if p is not None]
    with torch.no_grad():
        for parameter in parameters:
            parameter.zero_()
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = loss(head(features), labels) + head.weight.square().sum() * penalty / (2 * len(features))
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)  # pyright: ignore[reportArgumentType]
    optimizer.zero_grad()
