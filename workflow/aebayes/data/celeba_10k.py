"""CelebA's first 10,000 aligned faces, in colour, at 64x64 and, for small nets, at 32x32.

The archive has them at half their published size, 89x109. Of each the centre is kept, 74x74, and
made smaller by averaging (Pillow's box filter). Split 8,000 / 1,000 / 1,000 in the order of their
numbers: all of them are of the official training partition.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from aebayes.data.pictures import Pictures
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.errors import AebayesError

NAME = "celeba_10000_89x109.zip"
WIDTH, HEIGHT, CROP = 89, 109, 74
COUNTS = (8_000, 1_000, 1_000)
FACES = Pictures(
    re.compile(r"(?:\w+/)?(?P<path>\d{6})\.jpg"),
    "faces celebA/NNNNNN.jpg",
    (WIDTH, HEIGHT),
    50_000,  # a few thousand bytes each
    ("JPEG",),
    colours=True,
)


def crop(levels: np.ndarray, side: int) -> np.ndarray:
    """The centre of a face, made smaller: (109, 89, 3) -> (3, side, side), uint8."""
    # Here, because only datasets of pictures need it.
    from PIL import Image

    left, top = (WIDTH - CROP) // 2, (HEIGHT - CROP) // 2
    centre = Image.fromarray(levels[top : top + CROP, left : left + CROP])
    return np.asarray(centre.resize((side, side), Image.Resampling.BOX)).transpose(2, 0, 1)


def read(folder: Path, side: int, counts: tuple[int, int, int] = COUNTS) -> Splits:
    """The faces of the archive in `folder`, split in order.

    Args:
        counts: of train, validation and test.

    Raises:
        AebayesError: it is no archive of as many faces.
    """
    path = folder / NAME
    try:
        faces = np.stack([crop(levels, side) for _, levels in FACES.read(path)])
        if len(faces) != sum(counts):
            raise ValueError(f"it has {len(faces)} faces, expected {sum(counts)}")
    except (OSError, ValueError) as problem:
        raise AebayesError(
            f"{path}: {getattr(problem, 'strerror', None) or problem}",
            "delete it and fetch it again",
        ) from problem
    parts = np.split(faces, np.cumsum(counts)[:-1])
    return {
        name: (part, np.zeros(len(part), np.int64))
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }


def recipe(name: str, side: int) -> Recipe:
    """The faces at one size."""
    return Recipe(
        name=name,
        shape=(3, side, side),
        scale=255,
        classes=1,
        split="8,000 / 1,000 / 1,000 in the order of the faces' numbers",
        source="Liu, Luo, Wang & Tang 2015, Deep Learning Face Attributes in the Wild (CelebA)",
        licence="non-commercial research only",
        read=partial(read, side=side),
        files=(
            RawFile(
                NAME,
                "a31d98a68a7b3083b60eae2072e356726b0f63dc77dcb63ed09935dc9502cd99",
                60_000_000,
            ),
        ),
        shared_folder="celeba",
    )


RECIPE, RECIPE_32 = recipe("celeba_10k", 64), recipe("celeba_10k_32", 32)
