"""scikit-learn's digits: the data set that needs no file."""

from typing import Any

import numpy as np
import torch

from src.datamodules.held_out import drawn
from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit
from src.datamodules.stratified import stratified_split


class Digits(ImageData):
    """1,797 handwritten digits, 8x8 grey, 10 classes (UCI, Alpaydin and Kaynak 1998; part of scikit-learn)."""

    class_names = [str(digit) for digit in range(10)]

    def __init__(self, *, test_fraction: float, **image_data: Any) -> None:
        super().__init__(**image_data)
        self.test_fraction = test_fraction

    def read(self) -> dict[str, ImageSplit]:
        from sklearn.datasets import load_digits

        pixels, labels = map(np.asarray, load_digits(return_X_y=True))
        # 0..16 in steps of one becomes 0..255
        images = torch.from_numpy((pixels * 255 / 16).round().astype("uint8")).view(-1, 8, 8, 1)
        whole = ImageSplit(images, torch.from_numpy(labels).long())
        if self.fold is not None:
            return {"train": whole}
        train, test = stratified_split(labels, self.test_fraction, seed=0)
        self.held_out["test"] = drawn({"test_fraction": self.test_fraction}, test)
        return {"train": whole.take(train), "test": whole.take(test)}
