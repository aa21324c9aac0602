"""Builds what a saved config names, and nothing else: the file may come from anyone.

Hydra's own `instantiate` is not used here. It resolves interpolations, and one such as ${oc.create:...} becomes a node
that no check of the config has seen.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.core.signatures import HYDRA_KEYS

KINDS = (nn.Module, Optimizer, LRScheduler)  # what is built of classes of torch and timm
FUNCTIONS = ("src.models.schedules.", "timm.create_model")  # what is called beside classes
TIMM_NET = "src.models.images.timm_net.TimmNet"
TIMM_FILES = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def build(config: Any, source: object, packages: Sequence[str], trust: Sequence[str] = ()) -> Any:
    """Build an object from the plain dicts and lists of a saved config, as `hydra.utils.instantiate` would.

    Args:
        config: plain data; all text in it is taken as it is.
        source: the file it comes from, for messages.
        packages: where the parts may be defined: classes of this project, and those of torch and timm that are nets,
            optimizers or schedules.
        trust: further packages, of which every class and function may be called.

    Raises:
        ValueError: the config names anything else, or its parts do not fit.
    """
    return _Builder(source, tuple(packages), tuple(trust)).build(config)


@dataclass(frozen=True)
class _Builder:
    source: object
    packages: tuple[str, ...]
    trust: tuple[str, ...]

    def build(self, node: Any) -> Any:
        if isinstance(node, str) and "${" in node:
            raise ValueError(f"{self.source} holds the text {node[:60]!r}: a saved config has plain values only")
        if isinstance(node, list | tuple):
            return [self.build(item) for item in node]
        if not isinstance(node, dict):
            return node
        values = {str(key): self.build(value) for key, value in node.items() if key not in HYDRA_KEYS}
        return self._called(node, values) if "_target_" in node else values

    def _called(self, node: dict[Any, Any], values: dict[str, Any]) -> Any:
        name = str(node["_target_"])
        part = self._part(name)
        if name in ("timm.create_model", TIMM_NET):
            values = self._without_files(values) | ({"weights_file": None} if name == TIMM_NET else {})
        bound = partial(part, *self.build(list(node.get("_args_", ()))), **values)
        if node.get("_partial_"):
            return bound
        try:
            return bound()
        except ValueError:
            raise
        except Exception as error:  # of any kind: nobody has checked the arguments
            raise ValueError(f"{self.source}: {name} does not take what the file gives it: {error}") from error

    def _part(self, name: str) -> Any:
        """The class or function of this name. Nothing is imported unless its package is trusted."""
        packages = (*self.packages, *self.trust)
        if not _is_in(name, packages):
            raise self._not_trusted(name)
        module, _, attribute = name.rpartition(".")
        try:
            part = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            raise ValueError(f"{self.source} names {name}, which is not run: there is no such name here") from None
        home = f"{getattr(part, '__module__', '')}."
        # The name alone could lead through a trusted module to something that it has imported.
        if not callable(part) or not _is_in(home, packages):
            raise self._not_trusted(name)
        if not (_is_in(home, self.trust) or name.startswith(FUNCTIONS) or _is_class(part, home)):
            raise self._not_trusted(name)
        return part

    def _not_trusted(self, name: str) -> ValueError:
        return ValueError(
            f"{self.source} names {name}, which is not run: only classes of {', '.join(self.packages)} are; "
            f"if you know the file and the part is yours, give trust=[{name.partition('.')[0]}]"
        )

    def _without_files(self, values: dict[str, Any]) -> dict[str, Any]:
        """The arguments of timm's nets; their weights come from the checkpoint."""
        refused = [f"{key}={values[key]}" for key in TIMM_FILES if values.get(key)]
        if ":" in str(values.get("model_name")):  # hf-hub:USER/NET, local-dir:PATH
            refused.append(f"model_name={values['model_name']}")
        if refused and not _is_in("timm.", self.trust):
            raise ValueError(
                f"{self.source} has timm read {refused[0][:80]}, which is not done; if you know the file, "
                "give trust=[timm]"
            )
        return values | {"pretrained": False}


def _is_class(part: Any, home: str) -> bool:
    return isinstance(part, type) and (home.startswith("src.") or issubclass(part, KINDS))


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"{package}." for package in packages))
