"""MNIST binarised once and for all by Larochelle: a dataset apart, never to be mixed with MNIST.

Split 50,000 / 10,000 / 10,000, as its three files are. They have no labels. Likelihoods on it are
about 2 nats worse than on MNIST binarised anew each time an image is used, and models over-fit.

Each line of a file is an image: 784 digits 0 or 1, row by row, with a space between.
"""

from pathlib import Path

import numpy as np

from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.errors import AebayesError

PIXELS = 28 * 28
LINE = 2 * PIXELS  # bytes: each digit is followed by a space, the last by the line's end
ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
COUNTS = {"train": 50_000, "validation": 10_000, "test": 10_000}


def _raw_file(part: str, images: int, sha256: str) -> RawFile:
    name = f"binarized_mnist_{part}.amat"
    return RawFile(name, sha256, images * LINE, (f"{ADDRESS}/{name}",))


# The hashes are those of tensorflow_datasets' `binarized_mnist`.
FILES = {
    "train": _raw_file(
        "train",
        COUNTS["train"],
        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    ),
    "validation": _raw_file(
        "valid",
        COUNTS["validation"],
        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    ),
    "test": _raw_file(
        "test",
        COUNTS["test"],
        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    ),
}


def read(folder: Path) -> Splits:
    """The images of the three files in `folder`, each of class 0."""
    return {
        split: (read_amat(folder / file.name, COUNTS[split]), np.zeros(COUNTS[split], np.int64))
        for split, file in FILES.items()
    }


def read_amat(path: Path, count: int) -> np.ndarray:
    """Read a file of `count` lines, each an image.

    Returns:
        Images (count, 1, 28, 28) of 0 and 1, uint8.

    Raises:
        AebayesError: the file is missing, a line is not an image, or there are more or fewer.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as problem:
        raise _unreadable(path, problem.strerror or str(problem)) from problem
    whole = len(content) // LINE
    lines = content[: whole * LINE].reshape(whole, PIXELS, 2)
    digits, separators = lines[..., 0] - ord("0"), lines[..., 1]  # below "0" wraps to above 1
    right = (
        (digits <= 1).all(1)
        & (separators[:, :-1] == ord(" ")).all(1)
        & (separators[:, -1] == ord("\n"))
    )
    if not right.all():
        raise _unreadable(
            path,
            f"line {right.argmin() + 1} is not {PIXELS} digits 0 or 1 with a space between",
        )
    if len(content) != count * LINE:
        raise _unreadable(
            path, f"{count} lines are {count * LINE} bytes, the file has {len(content)}"
        )
    return digits.reshape(count, 1, 28, 28)


def _unreadable(path: Path, reason: str) -> AebayesError:
    return AebayesError(
        f"{path} is not a whole file of binary images: {reason}", "delete it and fetch it again"
    )


RECIPE = Recipe(
    name="mnist_fixed",
    shape=(1, 28, 28),
    scale=1,
    classes=1,
    split="50,000 / 10,000 / 10,000: the files train, valid and test",
    source=(
        "Larochelle & Murray 2011, The neural autoregressive distribution estimator; binarised as "
        "in Salakhutdinov & Murray 2008; from LeCun, Cortes & Burges 1998, The MNIST database of "
        "handwritten digits"
    ),
    licence="none stated",
    read=read,
    files=tuple(FILES.values()),
)
