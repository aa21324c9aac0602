import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import src.datamodules.images.decoded_folder as decoded_folder
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.files import read_image
from src.datamodules.images.label_sources import FolderNames
from src.datamodules.images.listing import list_folder
from tests.support.disks import files_limited_to
from tests.support.make_data import write_image_folder


@pytest.fixture
def root(tmp_path):
    """Cats and dogs, 9 x 7 pixels: 5 of each to train on, 2 to test with."""
    write_image_folder(tmp_path / "pets", classes=("cat", "dog"), rows={"train": 5, "test": 2}, size=(9, 7))
    return tmp_path / "pets"


def decoded(root, **changes):
    settings = {"image_size": 6, "channels": 3, "cache_dir": str(root.parent / "cache"), "on_corrupt": "raise"}
    return DecodedFolder(list_folder(root, FolderNames()), **{**settings, **changes})


def built(root, **changes):
    folder = decoded(root, **changes)
    folder.build()
    return folder


def damage(path):
    path.write_bytes(path.read_bytes()[:40])


def test_every_image_lies_where_its_name_and_label_say(root):
    folder = built(root)
    splits = folder.read()
    for split, images in splits.items():
        for row in images.rows.tolist():
            file = Path(folder.files[row])
            assert file.parts[0] == split
            assert file.parts[1] == folder.images.class_names[images.labels[row]]
            assert np.array_equal(images.images[row], read_image(root / file, 6, 3))


def test_splits_hold_all_of_their_images(root):
    splits = built(root).read()
    assert {name: images.own_labels.bincount().tolist() for name, images in splits.items()} == {
        "train": [5, 5],
        "test": [2, 2],
    }


def test_the_order_is_mixed_so_that_first_batches_hold_all_classes(tmp_path):
    write_image_folder(tmp_path / "pets", classes=("cat", "dog"), rows={"train": 30}, size=(2, 2))
    assert 0 < decoded(tmp_path / "pets").images.labels[:15].sum() < 15


def count_reads(monkeypatch):
    reads = []
    monkeypatch.setattr(decoded_folder, "read_image", lambda *a: reads.append(a[0]) or read_image(*a))
    return reads


def test_decoding_is_done_once(root, monkeypatch):
    reads = count_reads(monkeypatch)
    built(root)
    assert len(reads) == 14
    built(root)
    assert len(reads) == 14


def test_images_are_mapped_and_not_loaded(root):
    (images, *_) = built(root).read().values()
    assert str(next((root.parent / "cache").rglob("pixels.bin"))) in Path("/proc/self/maps").read_text()
    assert images.images.dtype == torch.uint8


def test_writing_to_the_images_leaves_the_cache_alone(root):
    folder = built(root)
    before = (folder.cache.path / "pixels.bin").read_bytes()
    folder.read()["train"].images.zero_()
    assert (folder.cache.path / "pixels.bin").read_bytes() == before


@pytest.mark.parametrize("change", ["replace", "add", "remove", "rename", "swap"])
def test_a_change_of_files_makes_a_new_key(root, change):
    before = decoded(root).cache.path
    file = root / "train" / "cat" / "0000.png"
    match change:
        case "replace":
            file.write_bytes(b"other")
        case "add":
            (root / "train" / "cat" / "x.png").write_bytes(file.read_bytes())
        case "remove":
            file.unlink()
        case "rename":
            file.rename(root / "train" / "dog" / "x.png")
        case "swap":
            other = root / "train" / "dog" / "0000.png"
            contents = file.read_bytes(), other.read_bytes()
            file.write_bytes(contents[1])
            other.write_bytes(contents[0])
    assert decoded(root).cache.path != before


def test_a_change_of_dates_alone_keeps_the_key(root):
    before = decoded(root).cache.path
    file = root / "train" / "cat" / "0000.png"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert decoded(root).cache.path == before


def test_another_set_of_the_same_names_sizes_and_dates_has_its_own_pixels(root, tmp_path):
    write_image_folder(tmp_path / "new" / "pets", classes=("dog", "cat"), rows={"train": 5, "test": 2}, size=(9, 7))
    for folder in (root, tmp_path / "new" / "pets"):
        for file in folder.rglob("*.png"):
            file.write_bytes(file.read_bytes().ljust(400, b"\0"))
            os.utime(file, ns=(10**18, 10**18))
    old, new = built(root), built(tmp_path / "new" / "pets", cache_dir=str(tmp_path / "cache"))
    assert old.files == new.files
    splits = new.read()
    assert np.array_equal(splits["train"].images[0], read_image(new.root / new.files[0], 6, 3))
    assert not torch.equal(splits["train"].images, old.read()["train"].images)


@pytest.mark.parametrize("changes", [{"image_size": 5}, {"channels": 1}])
def test_another_size_or_colour_makes_a_new_key(root, changes):
    assert decoded(root, **changes).cache.path.stem.split("-")[-1] != decoded(root).cache.path.stem.split("-")[-1]


def test_the_way_to_a_square_is_in_the_key_and_the_pixels(root):
    folder = built(root, resize="pad")
    assert len({decoded(root, resize=way).cache.path for way in ("crop", "squash", "pad")}) == 3
    expected = read_image(root / folder.files[0], 6, 3, resize="pad")
    assert np.array_equal(folder.read()["train"].images[0].numpy(), expected)


def test_the_size_of_the_cache_is_told_before_decoding(root, capsys):
    built(root, image_size=200)
    cache = root.parent / "cache" / "images"
    assert capsys.readouterr().out.startswith(f"14 images of 200x200x3 take 1.7 MB in {cache}\n")  # 14 * 120,000 bytes
    built(root, image_size=200)
    assert "MB" not in capsys.readouterr().out


def test_a_cache_larger_than_allowed_is_refused_with_ways_out(root):
    message = (
        "14 images of 200x200x3 take 1.7 MB, more than datamodule.max_cache_mb=1: lower datamodule.cache_size or "
        "image_size, or raise max_cache_mb"
    )
    with pytest.raises(ValueError, match=message):
        built(root, image_size=200, max_cache_mb=1)
    assert not [path for path in (root.parent / "cache" / "images").iterdir() if path.is_dir()]


def test_a_moved_folder_keeps_its_key(root, tmp_path):
    before = decoded(root).cache.path.name
    (tmp_path / "elsewhere").mkdir()
    root.rename(tmp_path / "elsewhere" / "pets")
    assert decoded(tmp_path / "elsewhere" / "pets").cache.path.name == before


def test_unreadable_images_fail_by_name(root):
    damage(root / "train" / "cat" / "0001.png")
    damage(root / "test" / "dog" / "0000.png")
    folder = built(root)
    with pytest.raises(ValueError, match=r"2 of 14 images in .*pets cannot be read; remove them or set") as raised:
        folder.read()
    assert "train/cat/0001.png" in str(raised.value)
    assert "test/dog/0000.png" in str(raised.value)


def test_unreadable_images_are_skipped_with_a_warning_that_names_them(root, capsys):
    damage(root / "train" / "cat" / "0001.png")
    folder = built(root, on_corrupt="skip")
    splits = folder.read()
    warning = capsys.readouterr().err
    assert warning.startswith(
        f"warning: 1 of 14 images in {root} cannot be read and are skipped: train/cat/0001.png (why: "
    )
    assert splits["train"].own_labels.bincount().tolist() == [4, 5]
    assert "train/cat/0001.png" not in [folder.files[row] for row in splits["train"].rows]


def test_of_many_unreadable_images_ten_are_named_and_a_file_lists_all(tmp_path):
    write_image_folder(tmp_path / "pets", classes=("cat", "dog"), rows={"train": 7}, size=(2, 2))
    for file in (tmp_path / "pets").rglob("*.png"):
        damage(file)
    folder = built(tmp_path / "pets")
    with pytest.raises(ValueError, match=r"and 4 more \(why: .*\.json\)"):
        folder.read()
    assert len((folder.cache.path / "unreadable.json").read_text().splitlines()) == 16


def test_a_run_stopped_while_decoding_leaves_nothing_that_looks_done(root, monkeypatch):
    folder = decoded(root)
    monkeypatch.setattr(decoded_folder, "read_image", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folder.build()
    monkeypatch.undo()
    assert not folder.cache.path.exists()
    folder.build()
    assert len(folder.read()["train"]) == 10


def test_a_full_disk_is_told_before_decoding(root, monkeypatch):
    monkeypatch.setattr(decoded_folder, "read_image", lambda *arguments: 1 / 0)
    with (
        files_limited_to(1000),
        pytest.raises(OSError, match=r"File too large, 1,512 bytes are needed and .* left; choose another cache_dir"),
    ):
        decoded(root).build()


def test_reading_before_building_is_told(root):
    with pytest.raises(FileNotFoundError, match="call prepare_data before setup"):
        decoded(root).read()


def test_copies_of_training_images_in_another_split_are_told(root, capsys):
    built(root).read()
    assert "copies" not in capsys.readouterr().err
    for name in ("0000", "0001"):
        shutil.copy(root / "train" / "dog" / f"{name}.png", root / "test" / "cat" / f"copy_{name}.png")
    built(root).read()
    told = capsys.readouterr().err
    assert told.startswith("note: 2 of 6 test images are copies of training images, which makes the scores too good: ")
    assert "test/cat/copy_0000.png" in told


def test_all_usual_suffixes_are_read(root):
    cats = root / "train" / "cat"
    for suffix in ("tif", "gif", "jfif", "avif", "jp2", "PPM"):
        Image.open(cats / "0000.png").save(cats / f"a.{suffix}")
    assert built(root).read()["train"].own_labels.bincount().tolist() == [11, 5]


def test_two_spellings_of_one_name_are_one_class(root):
    composed, decomposed = (unicodedata.normalize(form, "élan") for form in ("NFC", "NFD"))
    (root / "train" / "dog").rename(root / "train" / composed)
    shutil.rmtree(root / "test" / "dog")
    write_image_folder(root, classes=(decomposed,), rows={"train": 2, "test": 1})
    folder = built(root)
    assert folder.images.class_names == ["cat", composed]
    assert folder.read()["train"].own_labels.bincount().tolist() == [5, 7]
    assert folder.read()["test"].own_labels.bincount().tolist() == [2, 1]


def test_names_that_are_not_utf_8_are_read(root):
    cats = os.fsencode(root / "train" / "cat")
    os.rename(cats + b"/0000.png", cats + b"/caf\xe9.png")
    (root / "train" / "dog").rename(os.fsdecode(os.fsencode(root / "train") + b"/p\xeache"))
    (root / "test" / "dog").rename(os.fsdecode(os.fsencode(root / "test") + b"/p\xeache"))
    folder = built(root)
    assert folder.images.class_names == ["cat", "p\\xeache"]
    assert len(folder.read()["train"]) == 10


@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
def test_a_link_to_nowhere_and_a_file_that_vanishes_are_files_that_cannot_be_read(root, on_corrupt, capsys):
    (root / "train" / "cat" / "link.png").symlink_to(root / "nowhere")
    folder = decoded(root, on_corrupt=on_corrupt)
    assert folder.cache  # it has been listed
    (root / "train" / "dog" / "0003.png").unlink()
    folder.build()
    if on_corrupt == "raise":
        with pytest.raises(ValueError, match=r"2 of 15 images .*cannot be read; remove them or set.*"):
            folder.read()
    else:
        assert folder.read()["train"].own_labels.bincount().tolist() == [5, 4]
        assert "2 of 15 images" in capsys.readouterr().err
