"""Points of a function that you choose, to see at a glance what a net can learn of it."""

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.base import TableData

NAMES = {"pi": np.pi, "e": np.e}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(np, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "abs", "sign", "floor", "tanh")
}
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class Function(TableData):
    """Points (x, y): x is uniform between `low` and `high`, y is the function of x plus normal noise.

    The test points are evenly spaced and have no noise: test/rmse is the distance from the function itself.

    Args:
        function: a formula in x, such as "sin(3*x) + 0.5*abs(x)"; see `values_of`.
        low: smallest x.
        high: largest x.
        noise: standard deviation of the noise.
        rows: points to train and validate on, and as many to test on.
    """

    set_name = "function"

    def __init__(
        self, *, function: str, low: float, high: float, noise: float, rows: int, seed: int, **table_data: Any
    ) -> None:
        super().__init__(seed=seed, **table_data)
        if not low < high or noise < 0 or rows < 2:
            raise ValueError(
                f"a function needs datamodule.low < high, noise >= 0, rows >= 2, got {low=}, {high=}, {noise=}, {rows=}"
            )
        values_of(function, np.linspace(low, high, rows))
        self.function, self.low, self.high, self.noise, self.rows = function, low, high, noise, rows

    def fingerprint(self) -> str:
        return repr((self.function, self.low, self.high, self.noise, self.rows))

    def frames(self) -> dict[str, pd.DataFrame]:
        random = np.random.default_rng(self.seed)
        x, even = random.uniform(self.low, self.high, self.rows), np.linspace(self.low, self.high, self.rows)
        y = values_of(self.function, x) + random.normal(0, self.noise, self.rows)
        return {
            "train": pd.DataFrame({"x": x, "y": y}),
            "test": pd.DataFrame({"x": even, "y": values_of(self.function, even)}),
        }


def values_of(function: str, x: np.ndarray) -> np.ndarray:
    """Evaluate a formula made of x, numbers, + - * / % **, brackets, NAMES and FUNCTIONS; nothing else is run.

    Raises ValueError if the formula has anything else in it, or is not finite at some x.
    """
    try:
        formula = ast.parse(function.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(
            f"datamodule.function must be a formula such as sin(3*x), got {function!r}: {error.msg}"
        ) from None
    with np.errstate(all="ignore"):
        values = np.broadcast_to(_evaluated(formula, x), x.shape).astype(np.float64)
    if not np.isfinite(values).all():
        place = x[~np.isfinite(values)][0]
        raise ValueError(f"datamodule.function={function!r} has no finite value at x = {place:.4g}; move low and high")
    return values


def _evaluated(node: ast.AST, x: np.ndarray) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.float64(number)
        case ast.Name(id="x"):
            return x
        case ast.Name(id=name) if name in NAMES:
            return NAMES[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_evaluated(operand, x))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_evaluated(left, x), _evaluated(right, x))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_evaluated(argument, x))
    known = ", ".join(["x", *NAMES, *FUNCTIONS])
    raise ValueError(f"datamodule.function may use numbers, + - * / % ** and {known}, got {ast.unparse(node)!r}")
