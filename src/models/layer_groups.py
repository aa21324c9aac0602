"""Groups of layers from input to output, for freezing and for learning rates that grow with depth."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from src.core.internals import NormWithStatistics
from src.core.sharding import placed_like

# torch 2.3, which torchtext needs, has no RMSNorm.
NORMS = (NormWithStatistics, nn.LayerNorm, nn.GroupNorm, getattr(nn, "RMSNorm", nn.LayerNorm))


def layer_groups(net: nn.Module) -> list[list[nn.Module]]:
    """Return the modules with parameters in groups, the head last: the net's own `layer_groups()`, or its children.

    Raises ValueError if the net's own groups miss a parameter or hold one twice.
    """
    own = getattr(net, "layer_groups", None)
    groups = own() if own else [[child] for child in net.children() if any(True for _ in child.parameters())]
    held = [id(parameter) for group in groups for module in group for parameter in module.parameters()]
    wanted = {id(parameter) for parameter in net.parameters()}
    if set(held) != wanted or len(held) != len(wanted):
        # A parameter belongs to the net itself or to several children: their order is not known.
        if own is None:
            return [[net]]
        raise ValueError(
            f"{type(net).__name__}.layer_groups() must hold each of the net's {len(wanted)} parameters exactly once, "
            f"got {len(held)}, {len(wanted & set(held))} of them different"
        )
    return groups


def norm_parameters(modules: list[nn.Module]) -> set[int]:
    """Return the ids of the parameters of all norm layers within the modules."""
    norms = (m for module in modules for m in module.modules() if isinstance(m, NORMS))
    return {id(parameter) for norm in norms for parameter in norm.parameters()}


def body_parameters(net: nn.Module, num_trained: int) -> list[nn.Parameter]:
    """Return what freezing keeps from training: all groups' parameters but the last ones' and those of norms.

    What the net itself keeps from training is not among them. Raises ValueError if the net has not more layer groups
    than are to be trained.
    """
    groups = layer_groups(net)
    if len(groups) <= num_trained:
        raise ValueError(
            f"freezing all but {num_trained} layer groups needs a net of {num_trained + 1} or more, "
            f"{type(net).__name__} has {len(groups)}; null trains all"
        )
    modules = [module for group in groups[:-num_trained] for module in group]
    norms = norm_parameters(modules)
    parameters = (parameter for module in modules for parameter in module.parameters())
    return [parameter for parameter in parameters if parameter.requires_grad and id(parameter) not in norms]


def load_body(net: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy all weights and statistics except the last layer group's.

    Args:
        net: the net that gets them.
        weights: by their names in the net; more are left alone.
        source: where they come from, for the message.

    Raises:
        ValueError: one is missing, or has another shape.
    """
    head = {id(value) for module in layer_groups(net)[-1] for value in module.state_dict(keep_vars=True).values()}
    own = {name: value for name, value in net.state_dict(keep_vars=True).items() if id(value) not in head}
    wrong = [name for name, value in own.items() if name not in weights or weights[name].shape != value.shape]
    if wrong:
        raise ValueError(f"{source} is of another net: {len(wrong)} weights differ, such as {wrong[0]}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(placed_like(weights[name], value))
