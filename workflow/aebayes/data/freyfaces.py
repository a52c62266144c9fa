"""Frey faces: 1,965 frames of one man's face, grey, 28x20, in the order in which they were filmed.

Split 1,565 / 200 / 200, the last frames for test: neighbours in time are nearly the same picture,
and drawn at random would stand in training and test alike.
"""

from pathlib import Path

import numpy as np

from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.errors import AebayesError
from aebayes.files import read_npz

FRAMES, HEIGHT, WIDTH = 1_965, 28, 20
HELD = 200
NAME = "freyfaces_1965x28x20_uint8.npz"


def read(folder: Path) -> Splits:
    """The frames of the file in `folder`, split.

    Raises:
        AebayesError: the file is missing or broken, or has not the promised array.
    """
    path = folder / NAME
    frames = read_npz(path, compressed=True).get("images")
    if frames is None or frames.dtype != np.uint8 or frames.shape != (FRAMES, HEIGHT, WIDTH):
        found = "no array images" if frames is None else f"{frames.dtype} {frames.shape}"
        raise AebayesError(
            f"{path} is not the Frey faces: {found}, expected uint8 {(FRAMES, HEIGHT, WIDTH)}",
            "delete it and fetch it again",
        )
    parts = np.split(frames[:, None], [FRAMES - 2 * HELD, FRAMES - HELD])
    names = ("train", "validation", "test")
    return {
        name: (part, np.zeros(len(part), np.int64)) for name, part in zip(names, parts, strict=True)
    }


RECIPE = Recipe(
    name="freyfaces",
    shape=(1, HEIGHT, WIDTH),
    scale=255,
    classes=1,
    split="1,565 / 200 / 200 in the order of the frames, which are nearly alike one after another",
    source="Brendan Frey; published by Sam Roweis with Roweis & Saul 2000, Science 290",
    licence="none stated",
    read=read,
    files=(
        RawFile(
            NAME, "3c70375e0a9c4751ad49ad5f1f692bd094c46f133cf4aa8ea77d1cb14e1efcd1", 3_000_000
        ),
    ),
)
