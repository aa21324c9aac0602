import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import nn
from torch.testing import assert_close

from src.datamodules.loader import BatchLoader
from src.models.images.cnn_small import CNNSmall
from src.models.images.mlp import MLP
from tests.support.tiny import TinyImages, built, classifier, labelled_images, trainer


class LeftEdge(nn.Module):
    """Logits (a, 0, b): a and b are the first channel's left and right top corner."""

    def __init__(self, in_chans, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        corners = images[:, 0, 0, [0, -1]] * self.weight
        return torch.stack([corners[:, 0], torch.zeros(len(images)), corners[:, 1]], 1)


def logged(model, datamodule=None, method="validate"):
    (scores,) = getattr(trainer(), method)(model, datamodule or TinyImages(), verbose=False)
    return scores


def corners(*pairs):
    """Float images with these values in the top corners of the first channel, 0 elsewhere."""
    images = torch.zeros(len(pairs), 2, 6, 5)
    images[:, 0, 0, [0, -1]] = torch.tensor(pairs)
    return images


def test_images_are_normalised_with_the_training_sets_mean_and_deviation():
    model = built(classifier(net=LeftEdge), mean=[0.5, 0.25], std=[0.25, 0.5])
    assert model(corners((1.0, 0.25)))[0].tolist() == [2, 0, -1]  # (1 - 0.5) / 0.25; (0.25 - 0.5) / 0.25


def test_bytes_and_floats_give_the_same_logits():
    model = built().eval()
    images, _ = labelled_images(4)
    assert_close(model(images), model(images.float() / 255))


def test_a_net_that_names_the_image_size_gets_it():
    assert built(classifier(net=partial(MLP, widths=[], relu=True, dropout=0.0))).net.input_shape == (2, 6, 5)


def test_the_training_loss_is_cross_entropy_on_smoothed_labels():
    model = built(classifier(net=LeftEdge, label_smoothing=0.3), mean=[0.0, 0.0], std=[1.0, 1.0])
    model.log_loss = lambda loss, batch_size: None
    loss = model.training_step((corners((1.0, 0.0)), torch.tensor([0])), 0)
    log_p = torch.tensor([1.0, 0.0, 0.0]).log_softmax(0)
    assert_close(loss, -(0.8 * log_p[0] + 0.1 * log_p[1] + 0.1 * log_p[2]))  # 0.3 shared by three


def test_labels_may_be_probabilities():
    model = built(classifier(net=LeftEdge), mean=[0.0, 0.0], std=[1.0, 1.0])
    model.log_loss = lambda loss, batch_size: None
    loss = model.training_step((corners((1.0, 0.5)), torch.tensor([[0.25, 0.0, 0.75]])), 0)
    log_p = torch.tensor([1.0, 0.0, 0.5]).log_softmax(0)
    assert_close(loss, -(0.25 * log_p[0] + 0.75 * log_p[2]))


def test_a_batch_of_one_row_trains():
    data = TinyImages()
    data.train_dataloader = lambda: BatchLoader(*labelled_images(3), batch_size=1)
    run = trainer()
    run.fit(classifier(), data)
    assert run.callback_metrics["train/loss"].isfinite()


def test_bf16_trains_with_a_loss_of_full_precision():
    run = trainer(precision="bf16-mixed")
    run.fit(classifier(), TinyImages())
    assert run.callback_metrics["train/loss"].dtype == torch.float32
    assert run.callback_metrics["train/loss"].isfinite()


def test_training_learns_the_classes():
    torch.manual_seed(0)
    run = trainer(30)
    run.fit(classifier(optimizer=torch.optim.AdamW, lr=0.01), TinyImages())
    assert run.callback_metrics["val/accuracy"] == 1.0


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_label_smoothing_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=rf"label_smoothing must be within \[0, 1\), got {wrong}"):
        classifier(label_smoothing=wrong)


def test_the_validation_loss_is_the_mean_over_rows_not_over_batches():
    model = built()
    images, labels = labelled_images(7, seed=1)  # batches of 4 and 3
    with torch.no_grad():
        expected = F.cross_entropy(model.eval()(images), labels).item()
    assert logged(model)["val/loss"] == pytest.approx(expected)


def test_the_accuracy_is_the_share_of_all_rows():
    model = built(classifier(net=LeftEdge))
    data = TinyImages()
    # Right, right, wrong; right: 3 of 4, where the mean over batches would say 5 of 6.
    images = corners((1.0, 0.5), (0.6, 1.0), (1.0, 0.6), (1.0, 0.5))
    data.val_dataloader = lambda: BatchLoader(images, torch.tensor([0, 2, 2, 0]), batch_size=3)
    assert logged(model, data)["val/accuracy"] == 0.75


def test_validation_scores_hard_labels_without_smoothing():
    plain = built()
    smoothed = built(classifier(label_smoothing=0.5))
    smoothed.load_state_dict(plain.state_dict())
    assert logged(smoothed)["val/loss"] == logged(plain)["val/loss"]


def test_top5_is_scored_from_six_classes_on():
    assert "val/top5_accuracy" not in logged(built(num_classes=5))
    assert "val/top5_accuracy" in logged(built(num_classes=6))


def test_the_calibration_error_is_scored_at_test_only():
    model = built()
    assert "val/calibration_error" not in logged(model)
    assert "test/calibration_error" in logged(model, method="test")


def test_the_calibration_error_of_small_logits_is_that_of_their_softmax():
    metric = built().test_scores["calibration_error"]
    metric.update(torch.eye(3)[:2], torch.tensor([0, 1]))
    assert metric.compute() == pytest.approx(1 - math.e / (math.e + 2))  # always right, and e / (e + 1 + 1) sure


def test_flip_tta_scores_the_mean_of_both_sides():
    model = built(classifier(net=LeftEdge, flip_tta=True), mean=[0.0, 0.0], std=[1.0, 1.0])
    data = TinyImages()
    # Probabilities 0.52, 0.48, 0 and, seen from the other side, 0, 0.48, 0.52: together the second class leads.
    data.test_dataloader = lambda: BatchLoader(corners((0.1, -9.0)), torch.tensor([1]), batch_size=1)
    scores = logged(model, data, "test")
    assert scores["test/accuracy"] == 0.0
    assert scores["test/accuracy_flip_tta"] == 1.0


def test_without_flip_tta_no_such_score_is_logged():
    assert "test/accuracy_flip_tta" not in logged(built(), method="test")


class Brightness(nn.Module):
    """Logits: the brightness of the upper left pixel, of the lower right one, and -99."""

    def __init__(self, in_chans, num_classes):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, images):
        return torch.stack([images[:, 0, 0, 0], images[:, 0, -1, -1], torch.full((len(images),), -99.0)], 1)


def test_crop_tta_scores_the_mean_over_the_image_and_its_diagonal_shifts():
    model = built(classifier(net=Brightness, crop_tta=1), mean=[0.0, 0.0], std=[1.0, 1.0])
    images = torch.zeros(1, 2, 6, 5)
    images[..., 0, 0], images[..., -2, -2] = 0.5, 1.0
    data = TinyImages()
    data.test_dataloader = lambda: BatchLoader(images, torch.tensor([1]), batch_size=1)
    scores = logged(model, data, "test")
    # Both shifts bring the second last pixel to the corner, one of them by the reflected border.
    expected = (torch.tensor([0.5, 0.0]).softmax(0) + torch.tensor([0.0, 1.0]).softmax(0)) / 2
    assert_close(model.predict(images, crop_tta=1)[0, :2], expected)
    assert (scores["test/accuracy"], scores["test/accuracy_crop_tta"]) == (0.0, 1.0)


@pytest.fixture
def backbone(tmp_path):
    """A checkpoint of a net with four classes, and its weights."""
    run = trainer()
    run.fit(classifier(), TinyImages(num_classes=4))
    run.save_checkpoint(tmp_path / "backbone.ckpt")
    return tmp_path / "backbone.ckpt"


def weights_before_training(model, **fit):
    """What the net holds when training begins."""
    run = trainer(2)
    model.on_train_start = lambda: setattr(model, "begun", {k: v.clone() for k, v in model.net.state_dict().items()})
    run.fit(model, TinyImages(), **fit)
    return model.begun


def test_a_backbone_brings_all_but_the_head_batch_norms_statistics_included(backbone):
    saved = torch.load(backbone, weights_only=True)["state_dict"]
    begun = weights_before_training(classifier(backbone=str(backbone)))
    body = {name for name in begun if not name.startswith("head")}
    assert any("running_var" in name for name in body)
    assert all(torch.equal(begun[name], saved[f"net.{name}"]) for name in body)


def test_a_backbone_may_have_another_number_of_classes(backbone):
    begun = weights_before_training(classifier(backbone=str(backbone)))
    assert begun["head.weight"].shape == (3, 7)


def test_a_backbone_leaves_the_heads_own_statistics(tmp_path):
    def net(in_chans, num_classes):
        return nn.Sequential(
            nn.Conv2d(in_chans, 4, 3), nn.Flatten(), nn.Sequential(nn.BatchNorm1d(48), nn.Linear(48, 3))
        )

    run = trainer()
    run.fit(classifier(net=net), TinyImages())
    run.save_checkpoint(tmp_path / "a.ckpt")
    begun = weights_before_training(classifier(net=net, backbone=str(tmp_path / "a.ckpt")))
    assert begun["2.0.running_mean"].abs().max() == 0


def test_a_backbone_of_another_net_is_refused(backbone):
    other = classifier(backbone=str(backbone), net=partial(CNNSmall, widths=[4, 8]))
    with pytest.raises(ValueError, match=r"backbone .* is of another net: 5 weights differ, such as stages.1.0.weight"):
        trainer().fit(other, TinyImages())


def test_a_backbone_that_is_missing_is_named():
    with pytest.raises(FileNotFoundError, match=r"model.backbone nowhere.ckpt does not exist"):
        trainer().fit(classifier(backbone="nowhere.ckpt"), TinyImages())


def test_a_resumed_or_tested_model_does_not_need_its_backbone(tmp_path):
    run = trainer()
    run.fit(classifier(), TinyImages())
    run.save_checkpoint(tmp_path / "a.ckpt")
    resumed = weights_before_training(
        classifier(backbone="gone.ckpt"), ckpt_path=tmp_path / "a.ckpt", weights_only=True
    )
    assert torch.equal(resumed["head.weight"], torch.load(tmp_path / "a.ckpt")["state_dict"]["net.head.weight"])


def test_a_strangers_net_gets_the_facts_that_timms_nets_take():
    config = {
        "_target_": "tests.support.strangers.create_model",
        "_partial_": True,
        "model_name": "strange",
        "pretrained": False,
    }
    run = trainer()
    run.fit(classifier(net=instantiate(config), lr_ratio=0.1), TinyImages())
    assert run.callback_metrics["val/loss"].isfinite()
