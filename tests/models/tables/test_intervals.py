import numpy as np
import pytest
import torch

from src.models.tables.intervals import MAX_KEPT, half_widths, kept_errors
from tests.support import tiny_table
from tests.support.tiny import trainer


def test_the_width_is_the_error_of_the_rank_that_conformal_prediction_takes():
    errors = torch.arange(99, 0, -1.0)[:, None]  # 1 to 99: of 99 rows, rank 100 * 0.9
    assert half_widths(kept_errors(errors), 0.9).tolist() == [90.0]
    assert half_widths(kept_errors(errors), 0.5).tolist() == [50.0]
    assert half_widths(kept_errors(errors), 0.99).tolist() == [99.0]


def test_each_target_has_its_own_width():
    errors = torch.stack([torch.arange(1.0, 20), 10 * torch.arange(1.0, 20)], 1)
    assert half_widths(kept_errors(errors), 0.9).tolist() == [18.0, 180.0]


def test_of_many_rows_some_errors_are_kept_and_the_width_is_never_too_small():
    errors = torch.rand(25_000, 1, generator=torch.Generator().manual_seed(0))
    kept = kept_errors(errors)
    assert len(kept["errors"]) == MAX_KEPT
    for share in (0.1, 0.5, 0.9, 0.999):
        exact = np.sort(errors.numpy().ravel())[int(np.ceil(25_001 * share)) - 1]
        (width,) = half_widths(kept, share).tolist()
        assert exact <= width < exact + 0.002


@pytest.mark.parametrize("share", [0, 1, 90])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=f"between 0 and 1, such as 0.9, got {share}"):
        half_widths(kept_errors(torch.ones(20, 1)), share)


def test_too_few_rows_for_a_share_are_told():
    with pytest.raises(ValueError, match=r"interval=0\.99 needs 99 validation rows or more, the training had 20"):
        half_widths(kept_errors(torch.ones(20, 1)), 0.99)


def fitted(**facts):
    model = tiny_table.tabular_model()
    trainer(2).fit(model, tiny_table.TinyTable(**facts))
    return model.eval()


def test_a_training_keeps_the_errors_of_its_validation_rows():
    model = fitted(**tiny_table.REGRESSION)
    categories, continuous, targets = tiny_table.rows(7, model.hparams["spec"], seed=1)
    ends, true = model.interval(categories, continuous, 0.8), model.decoded(targets)
    inside = ((ends[..., 0] <= true + 1e-4) & (true <= ends[..., 1] + 1e-4)).sum(0)
    assert inside.tolist() == [7, 7]  # of seven rows, rank 8 * 0.8
    shorter = model.interval(categories, continuous, 0.5)
    assert (shorter.diff() < ends.diff()).all()


def test_classes_have_no_intervals():
    model = fitted()
    with pytest.raises(ValueError, match="it has classes"):
        model.interval(*tiny_table.rows(3)[:2], 0.9)


def test_an_older_checkpoint_has_no_errors():
    model = tiny_table.built(**tiny_table.REGRESSION)
    with pytest.raises(ValueError, match="a checkpoint of an older version lacks their errors"):
        model.interval(*tiny_table.rows(3, model.hparams["spec"])[:2], 0.9)
