from types import SimpleNamespace

import pytest
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy

from src.core.sharding import is_sharded, refuse_sharding
from src.training.fsdp import FSDP


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [(FSDP, True), (FSDPStrategy, True), (DDPStrategy, False), (SingleDeviceStrategy, False)],
)
def test_only_a_divided_model_is_sharded(strategy, expected):
    run = SimpleNamespace(strategy=strategy())
    assert is_sharded(run) is expected
    if expected:
        with pytest.raises(ValueError, match="averaging copies the whole model, and trainer=fsdp divides it"):
            refuse_sharding(run, "averaging")
    else:
        refuse_sharding(run, "averaging")
