"""OMNIGLOT at 28x28, made here from the original drawings of 105x105 black and white pixels.

Not the images of the IWAE paper (`omniglot`), whose preprocessing is not published: likelihoods on
the two are not comparable. A pixel here is the share of its area that is ink, 3.75 x 3.75 pixels of
the drawing, as a multiple of 1/255.

Split 23,379 / 1,000 / 8,081, as large in proportion as `omniglot`'s: test is stratified by
character, validation by alphabet, by fixed seeds; the class of an image is its alphabet, in the
order of their names. Each split keeps the order of the drawings' paths.

Mirrors pack the drawings differently, so the archives are verified by the pixels in them.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from aebayes.data.pictures import Pictures
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out
from aebayes.errors import AebayesError

SIDE, SMALL = 105, 28  # pixels of a drawing's side, and of an image's
TEST_SHARE = (8_070, 24_345 + 8_070)  # of the authors' 28x28 images
VALIDATION = 1_000
TEST_SEED = 0
VALIDATION_SEED = 1
MOST_PNG_BYTES = 10_000  # a drawing takes a few hundred
AT_ONCE = 1_000  # drawings made smaller at once: tens of MB
ADDRESS = "https://github.com/brendenlake/omniglot/raw/master/python"

DRAWINGS = Pictures(
    # Some mirrors lack the folder above the alphabets.
    re.compile(r"(?:images_\w+/)?(?P<path>[^/]+/character\d\d/\d{4}_\d\d)\.png"),
    "drawings ALPHABET/characterNN/XXXX_YY.png",
    (SIDE, SIDE),
    MOST_PNG_BYTES,
    ("PNG",),
)


def digest(path: Path) -> str:
    """SHA-256 over the drawings of an archive in order: path, then ink as bits, in hex.

    Raises:
        ValueError: it is no archive of drawings.
    """
    found = hashlib.sha256()
    for name, ink in drawings(path):
        found.update(name.encode())
        found.update(np.packbits(ink).tobytes())
    return found.hexdigest()


def drawings(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the drawings of an archive in the order of their paths, without unpacking it to disk.

    Yields:
        `ALPHABET/characterNN/XXXX_YY` and where there is ink, (105, 105) bool.

    Raises:
        ValueError: it is no archive of drawings.
    """
    for name, levels in DRAWINGS.read(path):
        yield name, levels < 128


def shrink(ink: np.ndarray) -> np.ndarray:
    """Average over areas.

    Args:
        ink: (N, 105, 105) bool.

    Returns:
        Images (N, 28, 28) uint8: the share of ink in a pixel's area, 0 .. 255, rounded.
    """
    # In quarters of a drawing's pixel a small pixel's side is 15. Whole numbers below 2^24 are
    # exact in float32, in whatever order they are added: the same bytes on every machine.
    weights = overlaps().astype(np.float32)
    areas = (weights @ ink.astype(np.float32) @ weights.T).astype(np.int64)  # 0 .. 225
    return ((34 * areas + 15) // 30).astype(np.uint8)  # 255 * areas / 225, rounded


def overlaps() -> np.ndarray:
    """How many quarters of each of the 105 pixels lie in each of the 28: (28, 105), integers."""
    ends = np.linspace(0, 4 * SIDE, SMALL + 1, dtype=np.int64)  # in quarters: 0, 15, .. 420
    starts = 4 * np.arange(SIDE)
    low = np.maximum(ends[:-1, None], starts)
    high = np.minimum(ends[1:, None], starts + 4)
    return np.maximum(high - low, 0)


def read(folder: Path) -> Splits:
    """Images and alphabets from the two archives in `folder`, split."""
    names, images = [], []
    for file in FILES:
        new_names, new_images = read_archive(folder / file.name)
        names += new_names
        images.append(new_images)
    order = sorted(range(len(names)), key=names.__getitem__)
    return split([names[i] for i in order], np.concatenate(images)[order], VALIDATION)


def read_archive(path: Path) -> tuple[list[str], np.ndarray]:
    """The paths of the drawings in an archive and their images (N, 28, 28).

    Raises:
        AebayesError: it is no archive of drawings.
    """
    names, images = [], []
    try:
        found = drawings(path)
        while some := list(islice(found, AT_ONCE)):
            names += [name for name, _ in some]
            images.append(shrink(np.stack([ink for _, ink in some])))
    except (OSError, ValueError) as problem:
        raise AebayesError(
            f"{path}: {getattr(problem, 'strerror', None) or problem}",
            "delete it and fetch it again",
        ) from problem
    return names, np.concatenate(images)


def split(names: Sequence[str], images: np.ndarray, validation: int) -> Splits:
    """Split images (N, 28, 28), given their paths in order; hold `validation` of them out."""
    characters = _numbered([name.rpartition("/")[0] for name in names])
    alphabets = _numbered([name.partition("/")[0] for name in names])
    kept, test = hold_out(characters, _test_count(len(names)), TEST_SEED)
    # By alphabet: of 1,000 not each of the 1,623 characters can have one.
    parts = hold_out(alphabets[kept], validation, VALIDATION_SEED)
    chosen = {"train": kept[parts[0]], "validation": kept[parts[1]], "test": test}
    return {part: (images[indices, None], alphabets[indices]) for part, indices in chosen.items()}


def _numbered(names: list[str]) -> np.ndarray:
    """For each name its place among the different ones in order, int64."""
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _test_count(drawings: int) -> int:
    return round(drawings * TEST_SHARE[0] / TEST_SHARE[1])


FILES = (
    RawFile(
        "images_background.zip",
        "5dc45a445ce79aef5faa12d422993bd49d30acf66c1cd8b4087b1c735ccf7999",
        12_000_000,
        (f"{ADDRESS}/images_background.zip",),
        digest=digest,
    ),
    RawFile(
        "images_evaluation.zip",
        "4325e368ed2a6dc13c0f733704ea52c50c54133c73c2f0624a4cf9a5e98c7030",
        12_000_000,
        (f"{ADDRESS}/images_evaluation.zip",),
        digest=digest,
    ),
)

RECIPE = Recipe(
    name="omniglot_drawings",
    shape=(1, SMALL, SMALL),
    scale=255,
    classes=50,
    split=(
        "23,379 / 1,000 / 8,081, with the raw stream of PCG64: test, as large a share as in the "
        f"28x28 images of the IWAE paper, stratified by character with seed {TEST_SEED}; "
        f"validation, from what is left, stratified by alphabet with seed {VALIDATION_SEED}"
    ),
    source=(
        "Lake, Salakhutdinov & Tenenbaum 2015, Human-level concept learning through probabilistic "
        "program induction, doi:10.1126/science.aab3050; made 28x28 here by averaging over areas: "
        "not the 28x28 images of the IWAE paper"
    ),
    licence="MIT (Brenden Lake)",
    read=read,
    files=FILES,
    shared_folder="omniglot",
)
