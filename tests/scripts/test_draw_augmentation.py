import numpy as np
import torch
from PIL import Image

from scripts.draw_augmentation import CHANGES, IN_A_ROW, SIDE, main, photographs, rows_of_images
from tests.datamodules.images.test_augmentation import augmentation
from tests.support.programs import composed


def rows(folder):
    defaults = {key: value for key, value in composed().datamodule.augmentation.items() if key != "_target_"}
    torch.manual_seed(0)
    return rows_of_images(photographs(folder), defaults)


def test_each_augmentation_has_a_row_that_differs_from_nothing(tmp_path):
    found = rows(tmp_path)
    plain = found.pop("nothing")
    assert {len(images) for images in found.values()} == {IN_A_ROW}
    assert all(images.shape[1:] == (SIDE, SIDE, 3) for images in found.values())
    assert [name for name, images in found.items() if np.array_equal(images, plain)] == []


def test_every_key_is_drawn():
    drawn = {name for changes in CHANGES.values() for name in changes}
    keys = set(composed().datamodule.augmentation) - {"_target_", "crop_ratio"}
    assert drawn == keys
    assert augmentation(**CHANGES["nothing"]).affine is None


def test_the_figure_is_written_and_its_path_shown(tmp_path, capsys):
    main([f"--output={tmp_path}/a.jpg"])
    assert capsys.readouterr().out == f"{tmp_path}/a.jpg\n"
    with Image.open(tmp_path / "a.jpg") as figure:
        assert figure.height > figure.width > 400
