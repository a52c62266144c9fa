"""CelebA's aligned faces in colour: all of them, or the first 10,000 at half their size.

Of each the centre is kept, 148x148 of 178x218 pixels, and made smaller by averaging (Pillow's box
filter). All 202,599 have the official partition, which goes by their numbers. The first 10,000 are
of its training part: they are split 8,000 / 1,000 / 1,000, in the same order.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from aebayes.data.pictures import Pictures
from aebayes.data.recipe import SPLITS, RawFile, Recipe, Splits
from aebayes.errors import AebayesError


@dataclass(frozen=True)
class Archive:
    """Faces as they are packed.

    Attributes:
        file: the zip.
        faces: what it has.
        kept: width and height of the centre, in pixels.
        counts: of train, validation and test.
    """

    file: RawFile
    faces: Pictures
    kept: int
    counts: tuple[int, int, int]


def faces(width: int, height: int, most_bytes: int) -> Pictures:
    """Numbered faces of one size, in any folder."""
    return Pictures(
        re.compile(r"(?:\w+/)?(?P<path>\d{6})\.jpg"),
        "faces NNNNNN.jpg",
        (width, height),
        most_bytes,
        ("JPEG",),
        colours=True,
    )


# The hash is that of torchvision's and PyTorch's tutorials, the address that of the latter: the
# authors' own is a page of Google Drive.
ALL = Archive(
    RawFile(
        "img_align_celeba.zip",
        "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
        1_443_490_838,
        ("https://s3.amazonaws.com/pytorch-tutorial-assets/img_align_celeba.zip",),
    ),
    faces(178, 218, 100_000),
    148,
    (162_770, 19_867, 19_962),
)
FIRST = Archive(
    RawFile(
        "celeba_10000_89x109.zip",
        "a31d98a68a7b3083b60eae2072e356726b0f63dc77dcb63ed09935dc9502cd99",
        60_000_000,
    ),
    faces(89, 109, 50_000),  # a few thousand bytes each
    74,
    (8_000, 1_000, 1_000),
)


def crop(levels: np.ndarray, kept: int, side: int) -> np.ndarray:
    """The centre of a face, kept x kept, made smaller: (H, W, 3) -> (3, side, side), uint8."""
    # Here, because only datasets of pictures need it.
    from PIL import Image

    top, left = ((length - kept) // 2 for length in levels.shape[:2])
    centre = Image.fromarray(levels[top : top + kept, left : left + kept])
    return np.asarray(centre.resize((side, side), Image.Resampling.BOX)).transpose(2, 0, 1)


def read(folder: Path, archive: Archive, side: int) -> Splits:
    """The faces of the archive in `folder`, split in order.

    Raises:
        AebayesError: it is no archive of as many faces.
    """
    path = folder / archive.file.name
    images = np.empty((sum(archive.counts), 3, side, side), np.uint8)
    found = 0
    try:
        for _, levels in archive.faces.read(path):
            if found < len(images):
                images[found] = crop(levels, archive.kept, side)
            found += 1
        if found != len(images):
            raise ValueError(f"it has {found} faces, expected {len(images)}")
    except (OSError, ValueError) as problem:
        raise AebayesError(
            f"{path}: {getattr(problem, 'strerror', None) or problem}",
            "delete it and fetch it again",
        ) from problem
    parts = np.split(images, np.cumsum(archive.counts)[:-1])
    return {
        name: (part, np.zeros(len(part), np.int64))
        for name, part in zip(SPLITS, parts, strict=True)
    }


def recipe(name: str, archive: Archive, side: int, split: str) -> Recipe:
    """The faces of an archive at one size."""
    return Recipe(
        name=name,
        shape=(3, side, side),
        scale=255,
        classes=1,
        split=split,
        source="Liu, Luo, Wang & Tang 2015, Deep Learning Face Attributes in the Wild (CelebA)",
        licence="non-commercial research only",
        read=partial(read, archive=archive, side=side),
        files=(archive.file,),
        shared_folder="celeba",
    )


IN_ORDER = "8,000 / 1,000 / 1,000 in the order of the faces' numbers"
RECIPES = (
    recipe("celeba", ALL, 64, "162,770 / 19,867 / 19,962, the official partition"),
    recipe("celeba_10k", FIRST, 64, IN_ORDER),
    recipe("celeba_10k_32", FIRST, 32, IN_ORDER),
)
