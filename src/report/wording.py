"""How reports write names, numbers and durations."""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from markupsafe import Markup

CAPITALS = {"auroc", "auprc", "rmse", "rmspe", "mae", "mape", "mse", "r2", "f1", "lr"}  # as the literature writes them


def metric_title(name: str) -> str:
    """`macro_f1` as `Macro F1`, `top5_accuracy` as `Top-5 accuracy`."""
    words = [word.upper() if word in CAPITALS else word for word in name.replace("top5", "top-5").split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def metric_label(name: str) -> str:
    """`val/macro_f1` as `Macro F1, validation`."""
    split, _, score = name.partition("/")
    return f"{metric_title(score)}, {'validation' if split == 'val' else split}"


def is_number(value: Any) -> bool:
    """Whether a table aligns this cell on the right."""
    return isinstance(value, Real) and not isinstance(value, bool)


def cell(value: Any) -> Any:
    """A table's cell: None is empty, whole numbers keep all digits, other numbers get four digits."""
    if value is None:
        return ""
    if not is_number(value):
        return value
    if isinstance(value, Integral) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}"  # keeps zeros at the end: the numbers of a column are compared


def few_digits(number: float) -> str:
    """A difference or a spread, with two significant digits."""
    return f"{number:#.2g}" if 0 < number < 10 else f"{number:.0f}"


def duration(seconds: float | None) -> str | None:
    """Seconds as `9.9 s`, `3 min 12 s` or `2 h 1 min`."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def shortened(text: str, max_length: int = 30) -> str:
    """A text on one line, cut to max_length characters."""
    text = " ".join(text.split())
    return text if len(text) <= max_length else f"{text[: max_length - 1]}\N{HORIZONTAL ELLIPSIS}"


def paragraphs(text: str) -> Iterable[str]:
    """The parts of a text between empty lines; Markup stays whole."""
    return [text] if isinstance(text, Markup) else [part.strip() for part in text.split("\n\n") if part.strip()]
