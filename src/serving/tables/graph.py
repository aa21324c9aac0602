"""What an exported table model computes."""

from typing import Any

import torch
from torch import Tensor

from src.datamodules.tables.dates import CATEGORY_PARTS, CONTINUOUS_PARTS, part_name
from src.serving.graphs import Served, generator


class ServedTable(Served):
    """Codes and scaled numbers to probabilities, or to values in the targets' units."""

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
            "categories": [
                sources[name] | {"values": values, "constant": state.get("constant_codes", {}).get(name)}
                for name, values in state["categories"].items()
            ],
            "continuous": [sources[name] | fitted for name, fitted in state["continuous"].items()],
        }
