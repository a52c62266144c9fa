"""LFWcrop, grey: 13,233 faces at 64x64, where the Toronto Face Database cannot be had.

Split 10,396 / 1,169 / 1,668 by person: nobody is in two splits. Validation and test have a tenth of
the 5,749 persons each, drawn by a fixed seed. Each split keeps the order of the pictures' names.

The pictures were published as PGM and are served by mirrors as PNG, too: the archive is verified by
the pixels in it.
"""

import hashlib
import re
from itertools import groupby
from pathlib import Path

import numpy as np

from aebayes.data.pictures import Pictures
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out
from aebayes.errors import AebayesError

SIDE = 64
SHARE = 10  # validation and test have one of so many persons each
SEED = 0
NAME = "lfwcrop_grey_png.zip"
FACES = Pictures(
    re.compile(r"(?:\w+/)?faces/(?P<path>[^/]+_\d{4})\.p[ng][gm]"),
    "faces faces/PERSON_0001.png",
    (SIDE, SIDE),
    20_000,  # a few thousand bytes each
    ("PNG", "PPM"),
)


def digest(path: Path) -> str:
    """SHA-256 over the faces of an archive in order: name, then pixels, in hex.

    Raises:
        ValueError: it is no archive of faces.
    """
    found = hashlib.sha256()
    for name, levels in FACES.read(path):
        found.update(name.encode())
        found.update(levels.tobytes())
    return found.hexdigest()


def read(folder: Path) -> Splits:
    """The faces of the archive in `folder`, split by person.

    Raises:
        AebayesError: it is no archive of faces.
    """
    path = folder / NAME
    try:
        names, faces = zip(*FACES.read(path), strict=True)
    except (OSError, ValueError) as problem:
        raise AebayesError(
            f"{path}: {getattr(problem, 'strerror', None) or problem}",
            "delete it and fetch it again",
        ) from problem
    return split(names, np.stack(faces))


def split(names: tuple[str, ...], faces: np.ndarray) -> Splits:
    """Split faces (N, 64, 64), given their names in order, by person."""
    counts = [len(list(faces)) for _, faces in groupby(names, key=lambda name: name[:-5])]
    person = np.repeat(np.arange(len(counts)), counts)
    tenth = len(counts) // SHARE
    _, held = hold_out(np.zeros(len(counts), np.int64), 2 * tenth, SEED)
    chosen = {"validation": held[::2], "test": held[1::2]}
    chosen["train"] = np.setdiff1d(person, held)
    return {
        part: (faces[here, None], np.zeros(here.sum(), np.int64))
        for part, here in {part: np.isin(person, each) for part, each in chosen.items()}.items()
    }


RECIPE = Recipe(
    name="lfwcrop",
    shape=(1, SIDE, SIDE),
    scale=255,
    classes=1,
    split=(
        "10,396 / 1,169 / 1,668 by person, with the raw stream of PCG64: validation and test have "
        f"a tenth of the persons each, seed {SEED}"
    ),
    source=(
        "Sanderson & Lovell 2009, Multi-region probabilistic histograms for robust and scalable "
        "identity inference, LFWcrop; after Huang et al. 2007, Labeled Faces in the Wild"
    ),
    licence="none stated for the crops; for research",
    read=read,
    files=(
        RawFile(
            NAME,
            "ec950ea89b77c477c3799132f0b955d3262b4ff01abdd047c87158cb2aee0d88",
            60_000_000,
            ("https://conradsanderson.id.au/lfwcrop/lfwcrop_grey.zip",),
            digest=digest,
        ),
    ),
)
