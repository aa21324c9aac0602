"""Tables and texts of any size, written piece by piece, in little memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

PIECE = 100_000


def write_table(path: Path, num_rows: int) -> None:
    """Write a CSV of six columns: 50 shops, 1,000 products, three numbers, and what they sell."""
    random = np.random.default_rng(0)
    shops, products = (pa.array([f"{name}{n}" for n in range(size)]) for name, size in (("s", 50), ("p", 1000)))
    schema = pa.schema(
        {"shop": pa.string(), "product": pa.string()} | dict.fromkeys(["a", "b", "c", "sold"], pa.float64())
    )
    with csv.CSVWriter(path, schema) as file:
        for rows in _pieces(num_rows):
            shop, product = random.integers(50, size=rows), random.integers(1000, size=rows)
            numbers = random.normal(size=(3, rows)).round(3)
            sold = (shop / 50 + product / 1000 + numbers.sum(0)).round(3)
            columns = [shops.take(pa.array(shop)), products.take(pa.array(product)), *numbers, sold]
            file.write(pa.table(columns, schema=schema))


def write_text(path: Path, num_tokens: int) -> None:
    """Write lines of 50 words, drawn by Zipf's law from 30,000; the end of a line is a token too."""
    random = np.random.default_rng(0)
    words = np.array([f"w{number:x}" for number in random.permutation(30_000)])
    chances = np.cumsum(1 / np.arange(10, 30_010))
    with path.open("w") as file:
        for tokens in _pieces(num_tokens):
            drawn = words[np.searchsorted(chances, random.random(tokens) * chances[-1])].tolist()
            file.writelines(" ".join(drawn[start : start + 50]) + "\n" for start in range(0, tokens, 50))


def _pieces(total: int) -> Iterator[int]:
    for start in range(0, total, PIECE):
        yield min(PIECE, total - start)
