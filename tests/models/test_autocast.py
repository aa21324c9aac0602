import torch

from src.models.autocast import autocast_dtype


def test_the_dtype_is_what_matrix_products_get():
    values = torch.ones(2, 2)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            assert autocast_dtype("cpu") == dtype == (values @ values).dtype
            assert autocast_dtype("cuda") is None


def test_where_autocast_is_off_there_is_none():
    assert autocast_dtype("cpu") is None
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert autocast_dtype("cpu") is None
