"""Fits a linear head to the features that its body gives, before the training itself."""

from collections.abc import Callable, Iterable
from itertools import takewhile

import torch
from torch import Tensor, nn

from src.models.layer_groups import layer_groups

MAX_ROWS = 20_000  # 1280 features of so many images are 100 MB; more rows hardly move the optimum


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


def fit_linear(head: nn.Linear, features: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Give a linear layer the weights of the least loss plus a half of their squares' sum divided by the rows.

    With cross-entropy this is logistic regression as scikit-learn does it by default. It starts from zero and draws no
    random number.

    Args:
        head: the layer.
        features: its inputs, (rows, features).
        labels: of the rows.
        loss: the mean over rows of outputs, (rows, outputs), and labels.
    """
    parameters = [p for p in (head.weight, head.bias) if p is not None]
    with torch.no_grad():
        for parameter in parameters:
            parameter.zero_()
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = loss(head(features), labels) + head.weight.square().sum() / (2 * len(features))
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)  # pyright: ignore[reportArgumentType]
    optimizer.zero_grad()
