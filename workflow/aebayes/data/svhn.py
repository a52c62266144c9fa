"""SVHN, cropped digits: street numbers in colour, 32x32.

Split 72,257 / 1,000 / 26,032: test is the official file; validation is taken from the training
file, stratified by digit, by a fixed seed.
"""

from pathlib import Path

import numpy as np

from aebayes.data.mat import read_mat_array
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out
from aebayes.errors import AebayesError
from aebayes.files import md5

SIDE, DIGITS = 32, 10
VALIDATION = 1_000
VALIDATION_SEED = 0
ADDRESS = "http://ufldl.stanford.edu/housenumbers"
# The hashes are those of torchvision's `SVHN`.
FILES = {
    "train": ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 200_000_000),
    "test": ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 70_000_000),
}


def read(folder: Path) -> Splits:
    """Images and digits from the two files in `folder`, split."""
    return split(*(read_file(folder / FILES[part][0]) for part in ("train", "test")), VALIDATION)


def read_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and digits (N,) int64 of one file.

    Raises:
        AebayesError: it is missing, or has not the promised arrays, shapes or values.
    """
    try:
        images = read_mat_array(path, "X", (SIDE, SIDE, 3, None))
        digits = read_mat_array(path, "y", (images.shape[-1], 1)).astype(np.int64)[:, 0]
        if images.dtype != np.uint8:
            raise ValueError(f"X is {images.dtype}, expected uint8")
        if digits.min() < 1 or digits.max() > DIGITS:
            raise ValueError(f"y has digits outside 1 .. {DIGITS}")
    except ValueError as problem:
        raise AebayesError(
            f"{path} is not a file of SVHN: {problem}", "delete it and fetch it again"
        ) from problem
    return images.transpose(3, 2, 0, 1).copy(), digits % DIGITS  # the file has 10 for 0


def split(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], validation: int
) -> Splits:
    """Hold `validation` of the training images out."""
    images, digits = train
    kept, held = hold_out(digits, validation, VALIDATION_SEED)
    return {
        "train": (images[kept], digits[kept]),
        "validation": (images[held], digits[held]),
        "test": test,
    }


RECIPE = Recipe(
    name="svhn",
    shape=(3, SIDE, SIDE),
    scale=255,
    classes=DIGITS,
    split=(
        "72,257 / 1,000 / 26,032: test is the official file; validation is taken from the training "
        f"file, stratified by digit with the raw stream of PCG64, seed {VALIDATION_SEED}"
    ),
    source=(
        "Netzer, Wang, Coates, Bissacco, Wu & Ng 2011, Reading digits in natural images with "
        "unsupervised feature learning; verified by MD5"
    ),
    licence="non-commercial use only",
    read=read,
    files=tuple(
        RawFile(name, expected, size, (f"{ADDRESS}/{name}",), digest=md5)
        for name, expected, size in FILES.values()
    ),
)
