"""What an exported table model computes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.datamodules.tables import cells
from src.datamodules.tables.dates import CATEGORY_PARTS, CONTINUOUS_PARTS, part_name
from src.datamodules.tables.processing import TableProcessing
from src.serving.graphs import Served, generator


class ServedTable(Served):
    """Codes and scaled numbers to probabilities, or to values in the targets' units."""

    programs = (Path(cells.__file__),)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.names = (["categories", "continuous"], ["values" if model.is_regression else "probabilities"])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """categories: int64 (batch, columns).  continuous: float32 (batch, columns)."""
        return (self.model.predict(*inputs),)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        draw, sizes = generator(), self.spec["category_sizes"]
        codes = [torch.randint(size, (batch,), generator=draw) for size in sizes]
        categories = torch.stack(codes, 1) if codes else torch.empty(batch, 0, dtype=torch.int64)
        return [categories, torch.randn(batch, self.spec["num_continuous"], generator=draw)]

    def preprocessing(self) -> dict[str, Any]:
        state: dict[str, Any] = self.spec["processing"]
        choices = state["choices"]
        columns = [*choices["categorical"], *choices["continuous"]]
        sources = {name: {"column": name, "date_part": None} for name in columns}
        for column in choices["dates"]:
            for part in CATEGORY_PARTS | CONTINUOUS_PARTS:
                sources[part_name(column, part)] = {"column": column, "date_part": part}
        return {
            "kind": "table",
            "task": choices["task"],
            "target": choices["target"],
            "class_names": state["target"].get("class_names", []),
            "target_scaling": state["target"] if self.model.is_regression else None,
            "text_columns": state["text_columns"],
            "date_format": choices["date_format"],
            "dates_in_utc": state.get("dates_in_utc", True),
            "categories": [sources[name] | self._category(name) for name in state["categories"]],
            "continuous": [sources[name] | fitted for name, fitted in state["continuous"].items()],
        }

    def _category(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = self.spec["processing"]
        return {
            "values": state["categories"][name],
            "constant": state.get("constant_codes", {}).get(name),
            "had_missing": TableProcessing.from_state(state).had_missing(name),
        }
