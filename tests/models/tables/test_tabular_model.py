from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn
from torch.testing import assert_close

from src.datamodules.loader import BatchLoader
from src.models.tables.entity_mlp import EntityMLP
from src.training.checkpoint import load_model
from tests.support.programs import composed
from tests.support.tiny import trainer
from tests.support.tiny_table import BINARY, REGRESSION, TinyTable, built, choices, rows, tabular_model


class Fixed(nn.Module):
    """Gives the continuous columns as outputs; in the shape (rows, members, outputs) if there are members."""

    def __init__(self, num_outputs, members=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.shape = (num_outputs,) if members == 1 else (members, num_outputs)

    def forward(self, categories, continuous):
        return (continuous * self.weight).unflatten(1, self.shape)


def fixed(members=1, facts=None, **choices):
    """A model whose outputs are the continuous columns."""
    return built(tabular_model(net=partial(Fixed, members=members), **choices), **(facts or {}))


def given(outputs, targets):
    """A batch for a `fixed` model."""
    outputs = torch.tensor(outputs)
    return torch.zeros(len(outputs), 2, dtype=torch.int64), outputs, torch.tensor(targets)


def training_loss(model, batch):
    model.log_loss = lambda loss, batch_size: None
    return model.training_step(batch, 0)


def scores_of(model, batch, method="validate"):
    """What validating or testing on the given rows, in batches of 2, logs."""
    data = TinyTable(**model.hparams["spec"])
    data.val_dataloader = data.test_dataloader = lambda: BatchLoader(*batch, batch_size=2)
    (scores,) = getattr(trainer(), method)(model, data, verbose=False)
    return scores


def test_the_loss_of_classes_is_weighted_cross_entropy_on_smoothed_labels():
    model = fixed(class_weights=[1.0, 2.0, 4.0], label_smoothing=0.3)
    batch = given([[1.0, 0.0, 2.0], [0.0, 1.0, 0.5]], [0, 2])
    expected = F.cross_entropy(batch[1], batch[2], weight=torch.tensor([1.0, 2.0, 4.0]), label_smoothing=0.3)
    assert_close(training_loss(model, batch), expected)


def test_the_loss_of_a_binary_task_is_that_of_its_one_logit():
    batch = given([[1.5], [-0.5]], [1, 0])
    expected = F.binary_cross_entropy_with_logits(torch.tensor([1.5, -0.5]), torch.tensor([1.0, 0.0]))
    assert_close(training_loss(fixed(facts=BINARY), batch), expected)


@pytest.mark.parametrize(("name", "expected"), [("mse", 2.5), ("l1", 1.5)])
def test_the_loss_of_regression_is_of_scaled_targets(name, expected):
    model = fixed(facts=REGRESSION, regression_loss=name)
    assert training_loss(model, given([[1.0, 2.0]], [[0.0, 4.0]])) == expected  # errors 1 and 2


def test_members_learn_each_for_itself():
    logits = torch.tensor([[[2.0], [-1.0]], [[0.5], [3.0]]])  # (row, member, output)
    loss = training_loss(fixed(2, BINARY), given(logits.flatten(1).tolist(), [1, 0]))
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert_close(loss, F.binary_cross_entropy_with_logits(logits.squeeze(2), targets))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing must be within \[0, 1\), got 1.0"),
        ({"regression_loss": 1.5}, "regression_loss must be mse, l1, poisson or a quantile such as 0.9, got 1.5"),
        ({"regression_loss": "huber"}, "regression_loss must be mse, l1, poisson or a quantile such as 0.9, got huber"),
        (
            {"class_weights": [1.0, 0.0]},
            r"class_weights must be null, balanced or positive, one for each class, got \[1.0, 0.0\]",
        ),
    ],
)
def test_a_wrong_choice_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        tabular_model(**wrong)


def test_class_weights_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"one number for each of \['a', 'b', 'c'\], got \[1.0, 2.0\]"):
        built(tabular_model(class_weights=[1.0, 2.0]))


def test_a_binary_task_predicts_both_classes():
    categories, logits, _ = given([[0.0], [100.0]], [0, 0])
    assert_close(fixed(facts=BINARY).predict(categories, logits), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))


def test_the_probability_of_an_ensemble_is_its_members_mean():
    categories, logits, _ = given([[0.0, 100.0]], [0])
    assert_close(fixed(2, BINARY).predict(categories, logits), torch.tensor([[0.25, 0.75]]))  # 1 / 2 and 1


def test_values_come_in_original_units():
    categories, values, _ = given([[1.0, -2.0]], [[0.0, 0.0]])
    assert fixed(facts=REGRESSION).predict(categories, values).tolist() == [[12, 40]]  # 10 + 2 and 100 - 2 * 30


@pytest.mark.parametrize(("kind", "expected"), [("log", 7.0), ("log1p", 6.0), ("none", 1.9459101)])
def test_logarithms_are_undone(kind, expected):
    scaling = {"kind": kind, "mean": [0.0, 0.0], "std": [1.0, 1.0]}
    model = fixed(facts=REGRESSION | {"processing": {"target": scaling}})
    assert_close(
        model.decoded(torch.tensor([[1.9459101, 1.9459101]])),
        torch.tensor([[expected, expected]], dtype=torch.float64),
        rtol=1e-6,
        atol=0,
    )


def test_scores_are_of_all_rows_not_means_over_batches():
    batch = given([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 3.0, 1.0]], [0, 1, 2])  # batches of 2 and 1
    scores = scores_of(fixed(), batch)
    assert scores["val/accuracy"] == pytest.approx(2 / 3)
    assert scores["val/loss"] == pytest.approx(F.cross_entropy(batch[1], batch[2]).item())


def test_each_validation_is_scored_by_itself():
    model, data = fixed(facts=BINARY), TinyTable(**BINARY | {"num_continuous": 1})
    for label in (0, 1):
        batch = given([[100.0]], [label])
        data.val_dataloader = lambda batch=batch: BatchLoader(*batch, batch_size=1)
        (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val/accuracy"] == 1.0  # 0.5, if the first one's row counted still


def test_scores_know_nothing_of_weights_and_smoothing():
    batch = given([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [0, 2])
    treated = fixed(class_weights=[1.0, 2.0, 3.0], label_smoothing=0.5)
    assert scores_of(treated, batch) == scores_of(fixed(), batch)


def test_an_ensemble_is_scored_by_its_mean():
    scores = scores_of(fixed(2, BINARY), given([[0.0, 100.0]], [1]), "test")
    assert scores["test/loss"] == pytest.approx(-torch.tensor(0.75).log().item())


def test_errors_are_in_original_units_and_the_loss_is_not():
    scores = scores_of(fixed(facts=REGRESSION), given([[1.0, 0.0]], [[0.0, 2.0]]))
    assert scores["val/rmse_sales"] == 2  # one deviation
    assert scores["val/mae_visits"] == 60  # two
    assert scores["val/loss"] == 2.5


def test_what_is_logged_of_each_task():
    classes = ["accuracy", "auroc", "calibration_error", "loss"]
    assert sorted(scores_of(built(**BINARY), rows(9, built(**BINARY).hparams["spec"]))) == [f"val/{n}" for n in classes]


def fitted(epochs=1, facts=None, **changes):
    run = trainer(epochs)
    run.fit(tabular_model(**changes), TinyTable(**(facts or {})))
    return run


@pytest.mark.parametrize("facts", [{}, BINARY, REGRESSION])
@pytest.mark.parametrize("options", [{}, {"numerical": "piecewise_linear", "num_members": 3}])
def test_each_task_trains(facts, options):
    run = fitted(facts=facts, net=partial(EntityMLP, **choices(**options)))
    assert run.callback_metrics["train/loss"].isfinite()
    assert run.callback_metrics["val/loss"].isfinite()


def test_training_learns_the_targets():
    torch.manual_seed(0)
    net = partial(EntityMLP, **choices(batch_norm=False))  # of 4 rows a norm tells little
    run = fitted(40, REGRESSION, net=net, optimizer=partial(torch.optim.AdamW, fused=True), lr=0.02)
    assert run.callback_metrics["train/loss"] < 0.2  # 2.2 for the targets' mean


def test_the_training_loss_is_logged_when_it_is_written_and_at_the_end_of_an_epoch():
    model, logged = tabular_model(), []
    model.log = lambda name, *args, **kwargs: logged.append(model.trainer.global_step) if name == "train/loss" else None
    run = trainer(2)
    run.log_every_n_steps = 2
    run.fit(model, TinyTable())
    assert logged == [1, 2, 3, 5]  # steps 2, 4 and 6, and 3, the epoch's last


def test_layers_nearer_the_columns_may_learn_slower():
    model = built(tabular_model(lr_ratio=0.01))
    assert sorted({round(group["lr"], 4) for group in model.parameter_groups()}) == [0.001, 0.01, 0.1]


def test_embeddings_get_weight_decay():
    model = built()
    (group,) = [g for g in model.parameter_groups() if any(p is model.net.embedding.table for p in g["params"])]
    assert "weight_decay" not in group  # the optimizer's own


def test_a_checkpoint_predicts_alone_as_in_training(tmp_path):
    config = OmegaConf.to_container(composed("experiment=adult_tabm").model)
    model = instantiate(config, _convert_="all")
    model.hparams["model"] = config
    run = trainer()
    run.fit(model, TinyTable(**REGRESSION))
    run.save_checkpoint(tmp_path / "a.ckpt")
    categories, continuous, _ = rows(5)
    expected = model.eval().predict(categories, continuous)
    assert torch.equal(load_model(tmp_path / "a.ckpt").predict(categories, continuous), expected)


@pytest.mark.parametrize(
    ("margin", "low", "high"), [(0.0, [8.0, 40.0], [16.0, 160.0]), (0.25, [6.0, 10.0], [18.0, 190.0])]
)
def test_answers_of_a_regression_stay_near_the_range_of_the_training_targets(margin, low, high):
    # scaled -1 to 3 and -2 to 2; times 2 plus 10, and times 30 plus 100
    model = fixed(facts=REGRESSION, answer_margin=margin)
    categories, wild, _ = given([[-1e6, -1e6], [1e6, 1e6], [0.5, 0.5]], [0])
    assert model.predict(categories, wild).tolist() == [low, high, [11.0, 115.0]]
    assert fixed(facts=REGRESSION).predict(categories, wild)[0, 0] < -1e6


def test_the_loss_of_the_training_sees_answers_without_limits():
    batch = given([[9.0, 0.0]], [[0.0, 0.0]])
    assert training_loss(fixed(facts=REGRESSION, answer_margin=0.1), batch) == 81 / 2


def test_a_negative_margin_is_refused():
    with pytest.raises(ValueError, match=r"model\.answer_margin must be 0 or more, or null, got -0\.1"):
        tabular_model(answer_margin=-0.1)


def test_predictions_of_large_targets_keep_small_differences():
    scaling = {"kind": "standardise", "mean": [1.7e9, 0.0], "std": [10.0, 1.0]}
    facts = {**REGRESSION, "processing": {**REGRESSION["processing"], "target": scaling}}
    categories, values, _ = given([[0.01, 0.0], [-0.01, 0.0]], [0])
    found = fixed(facts=facts).predict(categories, values)
    assert found.dtype == torch.float64
    assert found[:, 0].tolist() == pytest.approx([1.7e9 + 0.1, 1.7e9 - 0.1], abs=1e-6)


@pytest.mark.parametrize("facts", [{}, REGRESSION])
def test_rows_count_by_their_weights_in_loss_and_scores(facts):
    outputs = [[1.0, 0.5, 2.0], [0.0, 1.0, 0.5], [0.5, 0.2, 0.1]] if not facts else [[1.0, 2.0], [0.0, 1.0], [3.0, 0.5]]
    targets = [0, 2, 1] if not facts else [[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]
    weights = torch.tensor([2.0, 0.0, 1.0])
    batch, kept = given(outputs, targets), [0, 0, 2]
    model = fixed(facts=facts | {"row_weight": "w"})
    assert_close(training_loss(model, (*batch, weights)), training_loss(model, [rows[kept] for rows in batch]))
    repeated = scores_of(fixed(facts=facts), [rows[kept] for rows in batch])
    assert scores_of(model, (*batch, weights)) == pytest.approx(repeated, rel=1e-5, nan_ok=True)


def test_class_weights_and_row_weights_are_multiplied():
    model = fixed(class_weights=[1.0, 2.0, 4.0])
    batch = given([[1.0, 0.0, 2.0], [0.0, 1.0, 0.5]], [0, 2])
    losses = F.cross_entropy(batch[1], batch[2], reduction="none")
    expected = (0.5 * 1 * losses[0] + 1.5 * 4 * losses[1]) / (1 + 4)
    assert_close(training_loss(model, (*batch, torch.tensor([0.5, 1.5]))), expected)
