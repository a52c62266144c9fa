"""A density of two modes on a line, as "images" of one pixel: what a divergence makes of a misfit.

Made, without chance: each of the 256 intensities as often as the density says, to the nearest whole
image. The discussion of likelihood and adversarial training in Theis et al. 2016, figure 1, and in
the GAN tutorial of Goodfellow 2016, figure 14, is of such a density.
"""

from pathlib import Path

import numpy as np

from aebayes.data.recipe import SPLITS, Recipe, Splits

WEIGHTS = (0.7, 0.3)
MEANS = (0.3, 0.7)
SD = 0.06
SCALE = 255
COUNTS = {"train": 20_000, "validation": 1_000, "test": 2_000}


def density(x: np.ndarray) -> np.ndarray:
    """p(x) of intensities, where 1 is the whole range."""
    modes = zip(WEIGHTS, MEANS, strict=True)
    components = (weight * np.exp(-0.5 * ((x - mean) / SD) ** 2) for weight, mean in modes)
    return sum(components) / (SD * np.sqrt(2 * np.pi))


def read(folder: Path) -> Splits:
    """Each intensity as often as it is likely. `folder` is not read: they are made."""
    levels = np.arange(SCALE + 1)
    shares = density(levels / SCALE).cumsum()
    shares /= shares[-1]
    splits = {}
    for split in SPLITS:
        at = (np.arange(COUNTS[split]) + 0.5) / COUNTS[split]
        images = levels[np.searchsorted(shares, at)].astype(np.uint8)
        splits[split] = images.reshape(-1, 1, 1, 1), np.zeros(len(images), np.int64)
    return splits


RECIPE = Recipe(
    name="two_modes",
    shape=(1, 1, 1),
    scale=SCALE,
    classes=1,
    split="every split follows the same density, 20,000 / 1,000 / 2,000 points",
    source="made here",
    licence="none needed",
    read=read,
)
