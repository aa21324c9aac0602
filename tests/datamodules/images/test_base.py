import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit
from tests.support.make_data import image_settings, make_images, make_labels


class Shapes(ImageData):
    """24 rows to train on and 9 to test with, 5 x 6 pixels, 2 channels, 3 classes."""

    class_names = ["circle", "square", "star"]
    with_valid = False
    with_test = True

    def read(self):
        rows = {"train": 24, **({"valid": 6} if self.with_valid else {}), **({"test": 9} if self.with_test else {})}
        return {
            split: ImageSplit(
                torch.from_numpy(make_images(make_labels(count, 3), 5, 6, 2, seed=count)),
                torch.from_numpy(make_labels(count, 3)),
            )
            for split, count in rows.items()
        }


def shapes(with_valid=False, with_test=True, **changes):
    data = Shapes(**image_settings(**changes))
    data.with_valid, data.with_test = with_valid, with_test
    data.setup("fit")
    return data


def sizes(data):
    return {name: len(split) for name, split in data.splits.items()}


def labels_of(data, split):
    return data.splits[split].own_labels.tolist()


@pytest.fixture
def trainer():
    return pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)


def test_the_valid_split_is_taken_from_train():
    assert sizes(shapes()) == {"train": 18, "test": 9, "valid": 6}


def test_train_and_valid_have_no_row_in_common():
    data = shapes()
    assert sorted([*data.splits["train"].rows.tolist(), *data.splits["valid"].rows.tolist()]) == list(range(24))


def test_a_valid_split_of_its_own_is_used():
    assert sizes(shapes(with_valid=True)) == {"train": 24, "valid": 6, "test": 9}


def test_without_a_test_split_validation_rows_are_scored_and_a_line_says_so(capsys):
    data = shapes(with_test=False)
    data.setup("test")
    assert data.splits["test"] is data.splits["valid"]
    assert capsys.readouterr().out.count("there is no test split") == 1


def test_the_spec_tells_what_a_net_must_know():
    spec = shapes().spec
    assert {key: spec[key] for key in ("in_chans", "num_classes", "image_size", "class_names")} == {
        "in_chans": 2,
        "num_classes": 3,
        "image_size": [5, 6],
        "class_names": ["circle", "square", "star"],
    }
    assert len(spec["mean"]) == len(spec["std"]) == 2


def test_mean_and_deviation_are_those_of_the_training_rows():
    data = shapes()
    pixels = data.splits["train"].images[data.splits["train"].rows] / 255
    assert data.spec["mean"] == pytest.approx(pixels.mean((0, 1, 2)).tolist(), abs=1e-6)


def test_kept_classes_name_and_number_all_splits():
    data = shapes(classes=["star", "circle"])
    assert data.spec["class_names"] == ["star", "circle"]
    assert sizes(data) == {"train": 12, "test": 6, "valid": 4}
    assert labels_of(data, "test") == [1, 0, 1, 0, 1, 0]  # circle, star, and so on


def test_a_kept_class_has_its_own_images():
    data = shapes(classes=["star", "circle"])
    stars = data.splits["test"].images[data.splits["test"].rows][data.splits["test"].own_labels == 0]
    assert torch.equal(stars, shapes().splits["test"].images[2::3])


def test_keeping_classes_leaves_the_class_itself_alone():
    shapes(classes=["star", "circle"])
    assert Shapes.class_names == ["circle", "square", "star"]


def test_training_draws_rows_after_the_valid_split_which_stays_whole():
    data = shapes(train_per_class=2)
    assert sorted(labels_of(data, "train")) == [0, 0, 1, 1, 2, 2]
    assert data.splits["valid"].rows.tolist() == shapes().splits["valid"].rows.tolist()
    assert set(data.splits["train"].rows.tolist()) < set(shapes().splits["train"].rows.tolist())


def test_batches_in_memory_have_channels_last_and_bytes():
    images, labels = next(iter(shapes().train_dataloader()))
    assert images.shape == (4, 5, 6, 2)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64


def test_each_image_comes_with_its_own_label():
    whole = Shapes(**image_settings()).read()["train"]
    label_of = {
        image.numpy().tobytes(): label for image, label in zip(whole.images, whole.labels.tolist(), strict=True)
    }
    for images, labels in shapes(train_per_class=3).train_dataloader():
        assert [label_of[image.numpy().tobytes()] for image in images] == labels.tolist()


def test_drop_last_is_for_training_alone():
    data = shapes(drop_last=True)
    assert [len(loader) for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())] == [
        4,
        2,
        3,
    ]


def test_evaluation_never_shuffles():
    data = shapes()
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    assert labels.tolist() == labels_of(data, "test")


def test_keeping_on_the_device_yields_the_same_batches(trainer):
    held, copied = shapes(keep_on_device=True), shapes()
    held.trainer = copied.trainer = trainer
    for batch, expected in zip(held.train_dataloader(), copied.train_dataloader(), strict=True):
        assert torch.equal(batch[0], expected[0])
        assert torch.equal(batch[1], expected[1])


def test_weighted_sampling_trains_on_each_class_equally_often(capsys):
    data = shapes(weighted_sampling=True, classes=["circle", "star"], batch_size=3)
    data.splits["train"] = data.splits["train"].take(np.array([0, 1, 2, 3, 4, 5]))
    data.splits["train"].labels[data.splits["train"].rows] = torch.tensor([0, 1, 1, 1, 1, 1])
    labels = torch.cat([labels for _, labels in data.train_dataloader()])
    assert labels.bincount().tolist() == [3, 3]
    assert "an epoch has 6 images of each class (datamodule.weighted_sampling)" in capsys.readouterr().out
    assert torch.cat([labels for _, labels in data.val_dataloader()]).tolist() == labels_of(data, "valid")


def test_the_spec_counts_the_training_images_of_each_class():
    assert shapes().spec["class_counts"] == [6, 6, 6]


@pytest.mark.parametrize(("given", "instead"), [(None, ""), (32, ", in place of 32")])
def test_a_batch_size_is_chosen_that_fits_the_training_rows(capsys, given, instead):
    data = shapes(batch_size=given, drop_last=True)
    assert data.batch_size == 8  # of 18 rows
    assert f"batches of 8, to fit 18 training rows{instead}\n" in capsys.readouterr().out
    assert len(data.train_dataloader()) == 2


def test_a_batch_size_that_is_given_stands_if_it_can():
    assert [shapes(batch_size=size, drop_last=True).batch_size for size in (7, 18)] == [7, 18]
    assert shapes(batch_size=32, drop_last=False).batch_size == 32


def test_a_batch_size_that_is_given_stands(capsys):
    data = shapes(batch_size=7)
    assert data.batch_size == 7
    assert "to fit" not in capsys.readouterr().out


def test_a_global_batch_size_takes_the_place_of_one_that_fits(capsys):
    data = shapes(batch_size=None, global_batch_size=5)
    assert data.train_dataloader().batch_size == 5
    assert "to fit" not in capsys.readouterr().out


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be positive or null, got 0"):
        shapes(batch_size=0)


def test_only_training_batches_are_augmented(trainer):
    data = shapes(
        augmentation=lambda images, labels, num_classes, size, epoch: (images.permute(0, 3, 1, 2) * 0, labels)
    )
    data.trainer = trainer
    batch = next(iter(data.val_dataloader()))
    assert torch.equal(data.on_after_batch_transfer(batch, 0)[0], batch[0].permute(0, 3, 1, 2))
    trainer.state.stage = pl.trainer.states.RunningStage.TRAINING
    assert data.on_after_batch_transfer(batch, 0)[0].sum() == 0


def test_training_images_are_scaled_to_train_size(trainer):
    data = shapes()
    data.trainer = trainer
    trainer.state.stage = pl.trainer.states.RunningStage.TRAINING
    data.train_size = 3
    images, _ = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert images.shape == (4, 2, 3, 3)


@pytest.mark.parametrize("stage", ["TRAINING", "VALIDATING"])
def test_larger_images_reach_the_net_in_its_size(trainer, stage):
    data = shapes()
    data.image_size, data.trainer = 3, trainer
    trainer.state.stage = getattr(pl.trainer.states.RunningStage, stage)
    assert data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)[0].shape == (4, 2, 3, 3)


def test_a_wrong_class_name_fails_before_any_file_is_read():
    with pytest.raises(ValueError, match=r"no class sqare; did you mean square\?"):
        Shapes(**image_settings(classes=["star", "sqare"]))


def test_digits_may_be_given_as_numbers():
    data = shapes()
    data.class_names, data.classes = ["0", "1", "2"], [2, 0]
    data.load()
    assert data.class_names == ["2", "0"]


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_a_valid_fraction_beyond_0_and_1_is_refused(fraction):
    with pytest.raises(ValueError, match="valid_fraction must be between 0 and 1"):
        Shapes(**image_settings(valid_fraction=fraction))


def test_drawing_no_rows_is_refused():
    with pytest.raises(ValueError, match="train_per_class must be positive or null, got 0"):
        Shapes(**image_settings(train_per_class=0))


def test_drawing_more_rows_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"train_per_class must be at most 6.*got 7"):
        shapes(train_per_class=7)


def test_a_class_too_small_to_split_is_named(monkeypatch):
    monkeypatch.setattr(Shapes, "class_names", ["circle", "square", "star", "cross"])
    with pytest.raises(ValueError, match=r"two classes and 2 images of each, got cross \(0\)"):
        shapes()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_beyond_the_classes_is_told(split, label):
    data = shapes(with_valid=True)
    splits = data.read()
    splits[split].labels[0] = label
    data.read = lambda: splits
    with pytest.raises(ValueError, match=rf"labels must be from 0 to 2, one for each class, got .* in {split}"):
        data.load()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_class_that_a_split_lacks_is_told(split, capsys):
    data = Shapes(**image_settings())
    data.with_valid = True
    splits = data.read()
    splits[split] = splits[split].take(np.flatnonzero(splits[split].labels.numpy() != 1))
    data.read = lambda: splits
    data.load()
    assert capsys.readouterr().err == f"note: {split} has no image of square: nothing is measured there\n"


def test_a_split_without_images_is_refused():
    data = Shapes(**image_settings())
    splits = {name: split.take(np.arange(len(split) * (name == "train"))) for name, split in data.read().items()}
    data.read = lambda: splits
    with pytest.raises(ValueError, match="the test split holds no image that can be read"):
        data.load()


def test_the_contents_tell_images_labels_and_the_rows_that_are_drawn():
    data, same, other = shapes(), shapes(), shapes(seed=3)
    assert data.contents == same.contents
    assert {name for name in data.contents if data.contents[name] != other.contents[name]} == {"train", "valid"}


class Tagged(Shapes):
    """The same images with two tags of three: the class's own, and the next one's."""

    task = "multilabel"

    def read(self):
        splits = super().read()
        return {name: ImageSplit(each.images, self.labels(each.labels)) for name, each in splits.items()}

    def labels(self, classes):
        return (torch.eye(3) + torch.eye(3).roll(1, 1))[classes]


class Measured(Tagged):
    """The same images with two numbers each."""

    task = "regression"
    class_names = ["size", "weight"]

    def labels(self, classes):
        return torch.stack([classes * 1.5, classes - 7.0], 1)


def tagged(kind, **changes):
    data = kind(**image_settings(**changes))
    data.setup("fit")
    return data


@pytest.mark.parametrize(("kind", "width"), [(Tagged, 3), (Measured, 2)])
def test_rows_of_several_labels_or_numbers_come_in_batches_of_floats(kind, width):
    data = tagged(kind)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (4, 5, 6, 2)
    assert labels.shape == (4, width)
    assert labels.dtype == torch.float32


def test_the_spec_tells_the_task_unless_it_is_classification():
    assert "task" not in shapes().spec
    assert tagged(Tagged).spec["task"] == "multilabel"
    spec = tagged(Measured).spec
    assert (spec["task"], spec["num_classes"], spec["class_names"]) == ("regression", 2, ["size", "weight"])


@pytest.mark.parametrize("kind", [Tagged, Measured])
def test_rows_without_one_class_are_held_out_by_seed(kind):
    data, again, other = tagged(kind), tagged(kind), tagged(kind, seed=3)
    assert sizes(data) == {"train": 18, "test": 9, "valid": 6}
    assert sorted([*data.splits["train"].rows.tolist(), *data.splits["valid"].rows.tolist()]) == list(range(24))
    rows, *others = (each.splits["valid"].rows.tolist() for each in (data, again, other))
    assert [rows == each for each in others] == [True, False]
    data.load_state_dict(again.state_dict())
    with pytest.raises(ValueError, match=r"the valid rows would be others .*datamodule.seed=3"):
        data.load_state_dict(other.state_dict())


def test_kept_labels_are_columns_and_all_rows_stay():
    data = tagged(Tagged, classes=["star", "circle"])
    assert sizes(data) == {"train": 18, "test": 9, "valid": 6}
    assert data.spec["class_names"] == ["star", "circle"]
    assert data.splits["test"].own_labels[:3].tolist() == [[0, 1], [1, 0], [1, 1]]  # circle, square, star


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (Tagged, {"train_per_class": 2}, "train_per_class is for task=classification, got it with task=multilabel"),
        (Measured, {"classes": ["size", "weight"]}, "task=regression has none"),
    ],
)
def test_what_only_classes_have_is_refused(kind, change, words):
    with pytest.raises(ValueError, match=words):
        tagged(kind, **change)


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        (Tagged, torch.full((33, 3), 0.5), "must be 0 or 1, got others in train"),
        (Tagged, torch.zeros(33, 3, dtype=torch.int64), r"must be float32 \(rows, 3\), got torch.int64 \(24, 3\)"),
        (Measured, torch.zeros(33, 5), r"must be float32 \(rows, 2\), got torch.float32 \(24, 5\) in train"),
        (Measured, torch.full((33, 2), torch.nan), "must be finite numbers, got others in train"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_told(kind, labels, words):
    data = kind(**image_settings())
    data.labels = lambda classes: labels[: len(classes)]
    with pytest.raises(ValueError, match=words):
        data.setup("fit")
