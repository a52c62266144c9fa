"""The AVB paper's synthetic data: four 2x2 binary images, each with one pixel on.

There is nothing to generalise to: train, validation and test are the same four images. The class of
an image is the index of its pixel.

Source: Mescheder, Nowozin & Geiger 2017, arXiv:1701.04722.
"""

from pathlib import Path

import numpy as np

from aebayes.data.recipe import SPLITS, Recipe, Splits


def read(folder: Path) -> Splits:
    """The four points, in every split. `folder` is not read: they are made."""
    images = np.eye(4, dtype=np.uint8).reshape(4, 1, 2, 2)
    return {split: (images, np.arange(4)) for split in SPLITS}


RECIPE = Recipe(
    name="four_points",
    shape=(1, 2, 2),
    scale=1,
    classes=4,
    split="train, validation and test are the same four images",
    source="made here, after Mescheder, Nowozin & Geiger 2017, arXiv:1701.04722",
    licence="none needed",
    read=read,
)
