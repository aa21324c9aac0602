"""Groups of layers from input to output, for freezing and for learning rates that grow with depth."""

from torch import nn

from src.core.internals import NormWithStatistics

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
