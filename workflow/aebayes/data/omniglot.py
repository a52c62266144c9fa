"""OMNIGLOT at 28x28 as the IWAE paper has it: the authors' own `chardata.mat`.

Split 23,345 / 1,000 / 8,070: test is theirs; validation is a sample of their training images,
stratified by alphabet, by a fixed seed. The class of an image is its alphabet. Each split keeps the
order of the file. Intensities, in the file fractions of 1, are rounded to multiples of 1/255.

The file holds each image as a column of 784 numbers, its own columns one after the other. The only
hash of it found in public is an MD5, in code that refuses any other download.
"""

from pathlib import Path

import numpy as np

from aebayes.data.mat import read_mat_array
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out
from aebayes.errors import AebayesError
from aebayes.files import md5

TRAIN, TEST = 24_345, 8_070  # images
SIDE = 28
ALPHABETS = 50
SCALE = 255
VALIDATION = 1_000
VALIDATION_SEED = 0
NAME = "chardata.mat"
ADDRESSES = (
    "https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",
    "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat",
)
# Of images and alphabets uncompressed, as doubles; the true size is not published.
MOST_BYTES = 8 * (TRAIN + TEST) * (SIDE**2 + ALPHABETS + 1) + 10_000


def read(folder: Path) -> Splits:
    """Images and alphabets from `chardata.mat` in `folder`, split."""
    return read_mat(folder / NAME, TRAIN, TEST, VALIDATION)


def read_mat(path: Path, train: int, test: int, validation: int) -> Splits:
    """Read a file of `train` and `test` images; hold `validation` of the former out.

    Raises:
        AebayesError: the file is missing, or has not the promised arrays, shapes or values.
    """
    images = _images(path, "data", train)
    alphabets = _alphabets(path, "target", train)
    kept, held = hold_out(alphabets, validation, VALIDATION_SEED)
    return {
        "train": (images[kept], alphabets[kept]),
        "validation": (images[held], alphabets[held]),
        "test": (_images(path, "testdata", test), _alphabets(path, "testtarget", test)),
    }


def _images(path: Path, key: str, count: int) -> np.ndarray:
    """Images (count, 1, 28, 28) uint8."""
    intensities = _array(path, key, (SIDE**2, count))
    if not ((intensities >= 0) & (intensities <= 1)).all():
        raise _wrong(path, f"{key} has values outside 0 .. 1")
    columns = np.rint(SCALE * intensities).astype(np.uint8)
    return columns.reshape(1, SIDE, SIDE, count, order="F").transpose(3, 0, 1, 2).copy()


def _alphabets(path: Path, key: str, count: int) -> np.ndarray:
    """The alphabets of images, (count,) int64, from a column for each with a 1 at its place."""
    one_hot = _array(path, key, (ALPHABETS, count))
    if not (((one_hot == 0) | (one_hot == 1)).all() and (one_hot.sum(0) == 1).all()):
        raise _wrong(path, f"{key} does not give each image one alphabet")
    return one_hot.argmax(0).astype(np.int64)


def _array(path: Path, key: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        return read_mat_array(path, key, shape)
    except ValueError as problem:
        raise _wrong(path, str(problem)) from problem


def _wrong(path: Path, reason: str) -> AebayesError:
    return AebayesError(
        f"{path} is not the IWAE authors' file: {reason}", "delete it and fetch it again"
    )


RECIPE = Recipe(
    name="omniglot",
    shape=(1, SIDE, SIDE),
    scale=SCALE,
    classes=ALPHABETS,
    split=(
        "23,345 / 1,000 / 8,070: test is the IWAE authors'; validation is taken from their "
        "training images, stratified by alphabet with the raw stream of PCG64, "
        f"seed {VALIDATION_SEED}"
    ),
    source=(
        "chardata.mat of Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, verified by MD5; "
        "after Lake, Salakhutdinov & Tenenbaum 2015, doi:10.1126/science.aab3050"
    ),
    licence="none stated for this file; the drawings it was made from: MIT (Brenden Lake)",
    read=read,
    files=(RawFile(NAME, "21ecaf34373511aa7691cf2e0802aa3d", MOST_BYTES, ADDRESSES, digest=md5),),
)
