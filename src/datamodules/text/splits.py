"""Divides the text of files into a part to train on, one to validate on and one to test on."""

from src.datamodules.text.source import TextFile, TextSource


def split_by_size(
    files: list[TextFile], valid_fraction: float, test_fraction: float, exact: bool
) -> dict[str, TextSource]:
    """Divide the text of files: train on the beginning, validate on what follows, test on the end."""
    ends = (0.0, 1 - valid_fraction - test_fraction, 1 - test_fraction, 1.0)
    if not min(valid_fraction, test_fraction) > 0 or not ends[1] > 0:
        raise ValueError(
            "datamodule.valid_fraction and test_fraction must be positive and leave text to train on, "
            f"got {valid_fraction=}, {test_fraction=}"
        )
    parts = zip(("train", "valid", "test"), ends[:-1], ends[1:], strict=True)
    return {name: TextSource(files, start, stop, exact) for name, start, stop in parts}


def split_by_fold(
    files: list[TextFile], valid_fraction: float, *, fold: int, num_folds: int, exact: bool
) -> dict[str, TextSource]:
    """Divide the text of files: test on one of `num_folds` equal parts, validate on what follows it, train on the rest.

    The beginning of the text follows its end. `valid_fraction` is a share of what the fold leaves; 0: no `valid`.
    """
    if not 0 <= valid_fraction < 1:
        raise ValueError(f"datamodule.valid_fraction must leave text to train on, got {valid_fraction}")
    begin, end = fold / num_folds, (fold + 1) / num_folds
    after = 0.0 if fold == num_folds - 1 else end
    stop = after + valid_fraction * (1 - 1 / num_folds)
    held_out = {"valid": TextSource(files, after, stop, exact)} if valid_fraction else {}
    train = TextSource(files, stop, begin, exact) if after == 0 else TextSource(files, 0.0, 1.0, exact, (begin, stop))
    return {"train": train, **held_out, "test": TextSource(files, begin, end, exact)}
