"""Any text in files: published sets by the names of their files, and your own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.utilities import rank_zero_only

from src.core.output import note, show
from src.datamodules.download import fetch
from src.datamodules.text.base import TextData
from src.datamodules.text.find import find_texts, passed_over
from src.datamodules.text.source import TextFile, TextSource
from src.datamodules.text.splits import Texts, split_by_document, split_by_fold, split_by_size


class TextFiles(TextData):
    """Files in data_dir/folder, by name or pattern: plain, .gz, .xz, or inside a .zip in that folder.

    Args:
        train_files: names or patterns (`**/*.txt`), read in the order of their names.
        valid_files: None holds out a part of the training text, and then test_files must be None too.
        test_files: the same.
        valid_fraction: share of the text to validate on.
        test_fraction: share of the text to test on.
        split: what is held out: `documents`, see `split_by_document`, or the `end` of all text, test after valid.
        column: the files are .csv, and the cells of this column are the lines.
        address: where missing files come from; those with a checksum are fetched.
        checksums: file name -> md5.
        published: the token counts of `train`, `valid` and `test` and the `vocab_size` that are published for this
            set and the `tokenizer` named there. A note says so if the files give others.
    """

    def __init__(
        self,
        *,
        data_dir: str,
        folder: str,
        train_files: list[str],
        valid_files: list[str] | None,
        test_files: list[str] | None,
        valid_fraction: float,
        test_fraction: float,
        split: Literal["documents", "end"],
        column: str | None,
        address: str | None,
        checksums: dict[str, str],
        published: dict[str, Any] | None,
        **text_data: Any,
    ) -> None:
        super().__init__(**text_data)
        if (valid_files is None) != (test_files is None):
            raise ValueError(
                "datamodule.valid_files and test_files go together, or both are null and fractions are held out, "
                f"got {valid_files=}, {test_files=}"
            )
        if split not in ("documents", "end"):
            raise ValueError(f"datamodule.split must be documents or end, got {split}")
        self.set_name = Path(folder).name or "text"
        self.folder = Path(data_dir, folder)
        self.files = {"train": train_files, "valid": valid_files, "test": test_files}
        self.fractions = {"valid_fraction": valid_fraction, "test_fraction": test_fraction}
        self.split = split
        self.column = column
        self.address = address
        self.checksums = checksums
        self.published = published

    def prepare_data(self) -> None:
        if self.checksums and self._missing():
            try:
                fetch(self.folder, {name: (f"{self.address}{name}", md5) for name, md5 in self.checksums.items()})
            except FileNotFoundError as error:
                names = ", ".join(self._missing())
                raise FileNotFoundError(f"{error}\nor put there what they hold: {names}, plain, .gz or .xz") from error
        super().prepare_data()
        self._tell_passed_over()
        self._compare()

    def _missing(self) -> list[str]:
        patterns = [pattern for patterns in self.files.values() for pattern in patterns or []]
        return [pattern for pattern in patterns if not find_texts(self.folder, pattern)]

    def sources(self) -> Mapping[str, Texts]:
        exact = self.tokenizer == "byte"
        found = {name: self._find(patterns) for name, patterns in self.files.items() if patterns is not None}
        if self.fold is not None:
            return self._by_fold(found, exact)
        if len(found) == 1 and self.split == "documents":
            splits, told = split_by_document(found["train"], **self.fractions, seed=self.seed, exact=exact)
            rank_zero_only(show)(f"{self.set_name}: {told}")
            return splits
        if len(found) == 1:
            return split_by_size(found["train"], **self.fractions, exact=exact)
        held_out = {*found["valid"], *found["test"]}
        found["train"] = [file for file in found["train"] if file not in held_out]
        return {name: TextSource(files, exact=exact) for name, files in found.items()}

    def _by_fold(self, found: dict[str, list[TextFile]], exact: bool) -> dict[str, TextSource]:
        """Test on a fold of the training text; files to validate on stay, those to test on are left out."""
        if "test" in found:
            rank_zero_only(show)("the test files are left out, datamodule.fold tests on training text")
        held_out = {file for name, files in found.items() if name != "train" for file in files}
        train = [file for file in found["train"] if file not in held_out]
        fraction = 0.0 if "valid" in found else self.fractions["valid_fraction"]
        assert self.fold is not None
        sources = split_by_fold(train, fraction, fold=self.fold, num_folds=self.num_folds, exact=exact)
        return sources | ({"valid": TextSource(found["valid"], exact=exact)} if "valid" in found else {})

    def rule(self) -> dict[str, Any] | None:
        if self.files["valid"] is None:
            by_chance = {"split": "documents", "seed": self.seed} if self.split == "documents" else {}
            return self.fractions | by_chance
        apart = [file for name in ("valid", "test") for file in self._find(self.files[name] or [])]
        is_taken = not set(apart).isdisjoint(self._find(self.files["train"] or []))
        return {f"{name}_files": patterns for name, patterns in self.files.items()} if is_taken else None

    def _find(self, patterns: list[str]) -> list[TextFile]:
        found = []
        for pattern in patterns:
            files = find_texts(self.folder, pattern, self.column)
            if not files:
                origin = f" from {self.address}" if self.address else ""
                raise FileNotFoundError(
                    f"{self.folder} has no {pattern}; put it there{origin}: plain, .gz, .xz or in a .zip"
                )
            found += files
        return list(dict.fromkeys(found))

    def _tell_passed_over(self) -> None:
        patterns = dict.fromkeys(pattern for patterns in self.files.values() for pattern in patterns or [])
        found = dict.fromkeys(str(file) for pattern in patterns for file in passed_over(self.folder, pattern))
        if found:
            names = ", ".join(list(found)[:3]) + (", ..." if len(found) > 3 else "")
            rank_zero_only(note)(
                f"{len(found)} packed files are left out, because others of their pattern are not packed so: {names}; "
                "pack all or none"
            )

    def _compare(self) -> None:
        """Say so if these are not the files that published scores refer to."""
        if self.published is None or self.published["tokenizer"] != self.tokenizer:
            return
        counts = {split: count["tokens"] for split, count in self.streams.counts().items()}
        if self.vocabulary == {"min_freq": 1, "max_vocab_size": None, "specials": []}:
            counts["vocab_size"] = self.streams.read()[0]["vocab_size"]
        wrong = [f"{n} {c:,} (not {self.published[n]:,})" for n, c in counts.items() if c != self.published[n]]
        if wrong:
            rank_zero_only(note)(
                f"{self.set_name} is not the published set, and its scores cannot be compared: {', '.join(wrong)}"
            )
