import pytest

from src.datamodules.images.folder import ImageFolder
from tests.support.make_data import folder_settings, write_image_folder


@pytest.fixture
def image_folder(tmp_path):
    """Makes the set of what lies in tmp_path/pets, prepared and set up."""

    def make(**changes):
        data = ImageFolder(data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"), **folder_settings(**changes))
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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"task": "classify"}, "task must be one of classification, multilabel, regression, got classify"),
        ({"labels": "a.csv", "label_regex": "(a)"}, "give one of datamodule.labels and label_regex"),
        ({"label_separator": ""}, "label_separator must not be empty"),
        ({"label_regex": "a"}, "label_regex must have one group"),
        ({"y_range": [0, 1]}, "y_range must be .*, and is for task=regression"),
    ],
)
def test_a_wrong_choice_of_labels_is_refused(image_folder, wrong, words):
    with pytest.raises(ValueError, match=words):
        image_folder(**wrong)


def test_folders_of_classes_alone_are_split(image_folder, tmp_path):
    write_image_folder(tmp_path / "pets", classes=("cat", "dog", "emu"), rows={".": 4}, size=(9, 7))
    data = image_folder()
    assert sizes(data) == {"train": 9, "valid": 3, "test": 3}
    assert sorted(data.splits["valid"].own_labels.tolist()) == [0, 1, 2]


def write_tagged(folder):
    """Twelve images; the number of each says its labels: `even` or none, `third` or none, and itself as age."""
    write_image_folder(folder, classes=("mixed",), rows={".": 12}, size=(9, 7))
    tags = [" ".join(["even"] * (n % 2 == 0) + ["third"] * (n % 3 == 0)) for n in range(12)]
    lines = [f"mixed/{n:04}.png,{tags[n]},{n},{'train' if n < 9 else 'valid'}" for n in range(12)]
    (folder / "labels.csv").write_text("\n".join(["path,label,age,part", *lines]) + "\n")


def test_several_labels_of_a_table_reach_the_batches(image_folder, tmp_path):
    write_tagged(tmp_path / "pets")
    data = image_folder(task="multilabel", labels="labels.csv", split_column="part")
    assert data.spec["class_names"] == ["even", "third"]
    assert data.spec["task"] == "multilabel"
    assert sizes(data) == {"train": 9, "valid": 3, "test": 3}
    files = [data.row_names[row] for row in data.splits["valid"].rows]
    expected = [[float(int(name[6:10]) % k == 0) for k in (2, 3)] for name in files]
    assert next(iter(data.val_dataloader()))[1].tolist() == expected


def test_numbers_of_a_table_reach_the_batches(image_folder, tmp_path):
    write_tagged(tmp_path / "pets")
    data = image_folder(task="regression", labels="labels.csv", label_column="age", y_range=[0, 20])
    assert data.spec["class_names"] == ["age"]
    assert data.spec["y_range"] == [0, 20]
    files = [data.row_names[row] for row in data.splits["train"].rows]
    assert data.splits["train"].own_labels.tolist() == [[float(name[6:10])] for name in files]


def test_names_of_files_are_labels(image_folder, tmp_path):
    write_tagged(tmp_path / "pets")
    data = image_folder(label_regex="^00(.)")
    assert data.spec["class_names"] == ["0", "1"]


def test_other_labels_of_the_same_images_need_no_decoding(image_folder, tmp_path):
    write_tagged(tmp_path / "pets")
    first = image_folder(task="regression", labels="labels.csv", label_column="age")
    table = tmp_path / "pets" / "labels.csv"
    table.write_text(table.read_text().replace(",3,", ",33,"))
    second = image_folder(task="regression", labels="labels.csv", label_column="age", split_column="part")
    assert first.decoded.cache.path == second.decoded.cache.path
    assert 33 in second.splits["train"].own_labels


def test_an_image_that_a_table_names_and_that_is_not_there_cannot_be_read(image_folder, tmp_path, capsys):
    write_tagged(tmp_path / "pets")
    (tmp_path / "pets" / "mixed" / "0004.png").unlink()
    choices = {"task": "multilabel", "labels": "labels.csv"}
    with pytest.raises(ValueError, match=r"1 of 12 images in .*pets cannot be read; remove them or set"):
        image_folder(**choices)
    assert sum(sizes(image_folder(**choices, on_corrupt="skip")).values()) == 11 + 3  # valid is test, too
    assert "are skipped: mixed/0004.png" in capsys.readouterr().err
