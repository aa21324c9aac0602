import pytest

from src.datamodules.images.folder import ImageFolder
from tests.support.make_data import image_settings, write_image_folder


@pytest.fixture
def image_folder(tmp_path):
    """Makes the set of what lies in tmp_path/pets, prepared and set up."""

    def make(**changes):
        settings = {
            "folder": "pets",
            "image_size": 6,
            "cache_size": None,
            "resize": "crop",
            "max_cache_mb": None,
            "channels": 3,
            "on_corrupt": "raise",
            "max_pixels": 9999,
            **image_settings(),
        }
        data = ImageFolder(data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"), **{**settings, **changes})
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def write(tmp_path, **rows):
    write_image_folder(tmp_path / "pets", classes=("cat", "dog", "emu"), rows=rows, size=(9, 7))


def sizes(data):
    return {name: len(split) for name, split in data.splits.items()}


def test_classes_are_the_folders_in_alphabetical_order(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    assert image_folder().spec["class_names"] == ["cat", "dog", "emu"]


def test_images_have_the_size_and_channels_asked_for(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    spec = image_folder(image_size=5, channels=1).spec
    assert spec["image_size"] == [5, 5]
    assert spec["in_chans"] == 1


def test_a_valid_split_is_taken_of_each_class_where_there_is_none(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    data = image_folder()
    assert sizes(data) == {"train": 9, "test": 6, "valid": 3}
    assert sorted(data.splits["valid"].own_labels.tolist()) == [0, 1, 2]


def test_a_valid_split_of_its_own_is_used(image_folder, tmp_path):
    write(tmp_path, train=4, val=1, test=2)
    assert sizes(image_folder()) == {"train": 12, "valid": 3, "test": 6}


def test_without_a_test_split_a_line_says_what_is_scored(image_folder, tmp_path, capsys):
    write(tmp_path, train=4, val=1)
    assert sizes(image_folder()) == {"train": 12, "valid": 3, "test": 3}
    assert "the test scores are those of the validation rows" in capsys.readouterr().out


def test_some_classes_can_be_kept(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    assert sizes(image_folder(classes=["emu", "cat"])) == {"train": 6, "test": 4, "valid": 2}


def test_a_wrong_class_fails_before_anything_is_decoded(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    with pytest.raises(ValueError, match=r"no class emo; did you mean emu\?"):
        image_folder(classes=["emo", "cat"])
    assert not (tmp_path / "cache").exists()


def test_a_class_of_one_image_cannot_be_split(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    write_image_folder(tmp_path / "pets", classes=("fox",), rows={"train": 1})
    with pytest.raises(ValueError, match=r"two classes and 2 images of each, got fox \(1\)"):
        image_folder()


def test_a_class_of_one_image_will_do_beside_a_valid_split(image_folder, tmp_path):
    write(tmp_path, train=1, valid=1, test=1)
    assert sizes(image_folder()) == {"train": 3, "valid": 3, "test": 3}


def test_a_single_class_is_refused(image_folder, tmp_path):
    write_image_folder(tmp_path / "pets", classes=("cat",), rows={"train": 4})
    with pytest.raises(ValueError, match=r"training needs two classes and 2 images of each, got \['cat'\]"):
        image_folder()


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"channels": 2}, {"on_corrupt": "ignore"}, {"max_pixels": 0}])
def test_a_wrong_choice_is_refused(image_folder, wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"image_size must be positive.*{name}={value!r}"):
        image_folder(**wrong)


def test_the_net_sees_image_size_of_what_is_cached_at_cache_size(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    data = image_folder(cache_size=8)
    assert data.splits["train"].images.shape[1:] == (8, 8, 3)
    assert (data.spec["image_size"], data.spec["cache_size"]) == ([6, 6], 8)
    images, _ = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert images.shape[2:] == (6, 6)


def test_a_spec_of_the_usual_squares_is_that_of_older_checkpoints(image_folder, tmp_path):
    write(tmp_path, train=4, test=2)
    assert {"cache_size", "resize"}.isdisjoint(image_folder().spec)
    assert image_folder(resize="squash").spec["resize"] == "squash"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cache_size": 5}, "cache_size must be null or at least image_size, got cache_size=5, image_size=6"),
        ({"resize": "stretch"}, "resize must be one of crop, squash, pad, got stretch"),
        ({"max_cache_mb": 0}, "max_cache_mb must be null or positive, got 0"),
    ],
)
def test_a_wrong_way_to_squares_is_refused(image_folder, wrong, message):
    with pytest.raises(ValueError, match=message):
        image_folder(**wrong)
