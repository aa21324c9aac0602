"""The kinds of data that this project knows: each module of src/domains declares one, as DOMAIN.

Shared code asks here instead of naming images, tables or text. A new kind needs a module there and its own folders.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from src.core.errors import ROOT


@dataclass(frozen=True)
class Domain:
    """What shared code must know of one kind of data. Dotted names are imported when they are needed.

    Attributes:
        name: name of its folders and of its file in conf/predict, such as "images".
        model: what a message calls a model of this kind, such as "an image classifier".
        spec_key: key of a model's spec that only this kind has.
        scores: names of its test scores, the headline first.
        asked_by: key of predict.py that holds the question: `input`, a path, or `prompt`, a text.
        suffixes: dotted name of the file endings that an `input` may have; None if it takes no file.
        check: dotted name of a function (config) that raises ConfigError for a wrong question, without torch.
        predict: dotted name of the function that answers; its arguments are its keys of conf/predict.yaml.
        answered: dotted name of a function that says what is true of tested rows and what the model answers: (model,
            batch) -> columns by their heads, which take no name of `DataModule.tested_rows`; None if there are no rows.
        served: dotted name of the subclass of `src.serving.graphs.Served` that export writes.
        shown: dotted name of the function that shows training batches: (datamodule, batches) -> sections of a page.
    """

    name: str
    model: str
    spec_key: str
    scores: tuple[str, ...]
    asked_by: str
    suffixes: str | None
    check: str
    predict: str
    answered: str | None
    served: str
    shown: str

    @property
    def title(self) -> str:
        """Heading in lists, such as "Images"."""
        return self.name.capitalize()

    @property
    def package(self) -> str:
        """The package of its LightningModules; the `_target_` of a model tells the domain by it."""
        return f"src.models.{self.name}"

    @staticmethod
    def load(dotted: str) -> Any:
        """The object of a dotted name."""
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name)


@cache
def domains() -> tuple[Domain, ...]:
    """All declared domains, in the order of their names; without those whose models were removed from the tree."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(ROOT / "src" / "domains")]))
    declared = [importlib.import_module(f"src.domains.{name}").DOMAIN for name in names]
    return tuple(domain for domain in declared if importlib.util.find_spec(domain.package))


def domain_of(spec: Mapping[str, Any]) -> Domain | None:
    """The domain of a model by its spec; None if it belongs to no known one."""
    return next((domain for domain in domains() if spec.get(domain.spec_key)), None)


def domain_of_target(target: str) -> Domain | None:
    """The domain of a LightningModule's dotted name; None if it belongs to no known one."""
    return next((domain for domain in domains() if target.startswith(f"{domain.package}.")), None)
