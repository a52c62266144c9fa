"""The Toronto Face Database, for users who were given its file: 102,236 grey faces at 48x48.

It is handed out on request only (Susskind, Anderson & Hinton 2010), and no hash of it is public: it
is verified by its form alone. Split as its first fold has it for the faces without a label, which
the papers train on: the unlabelled faces, less 1,000 drawn for validation by a fixed seed; test are
the fold's labelled test faces.
"""

from pathlib import Path

import numpy as np

from aebayes.data.mat import read_mat_array
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out
from aebayes.errors import AebayesError

SIDE = 48
NAME = "TFD_48x48.mat"
VALIDATION = 1_000
VALIDATION_SEED = 0
UNLABELLED, TEST = 0, 3  # in `folds`: 1 is training, 2 validation
FORM = "images (N, 48, 48) uint8, folds (N, 5)"


def form(path: Path) -> str:
    """`FORM`, if the file has it.

    Raises:
        ValueError: it has not; says what is wrong.
    """
    images_and_fold(path)
    return FORM


def images_and_fold(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Faces (N, 48, 48) uint8, and what each is in the first fold (N,).

    Raises:
        ValueError: it is no MATLAB file, or has not these arrays.
    """
    images = read_mat_array(path, "images", (None, SIDE, SIDE))
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}, expected uint8")
    fold = read_mat_array(path, "folds", (len(images), 5))[:, 0]
    if not np.isin(fold, range(4)).all() or not {UNLABELLED, TEST} <= set(fold.tolist()):
        raise ValueError("folds has other numbers than 0 to 3, or no unlabelled or test faces")
    return images, fold


def read(folder: Path) -> Splits:
    """The faces of the file in `folder`, split."""
    return read_file(folder / NAME, VALIDATION)


def read_file(path: Path, validation: int) -> Splits:
    """Faces of class 0, split; hold `validation` of those without a label out.

    Raises:
        AebayesError: the file has another form.
    """
    try:
        images, fold = images_and_fold(path)
    except ValueError as problem:
        raise AebayesError(
            f"{path} is not the Toronto Face Database: {problem}", "put the file given to you there"
        ) from problem
    faces = images[fold == UNLABELLED]
    kept, held = hold_out(np.zeros(len(faces), np.int64), validation, VALIDATION_SEED)
    chosen = {"train": faces[kept], "validation": faces[held], "test": images[fold == TEST]}
    return {part: (x[:, None], np.zeros(len(x), np.int64)) for part, x in chosen.items()}


RECIPE = Recipe(
    name="tfd",
    shape=(1, SIDE, SIDE),
    scale=255,
    classes=1,
    split=(
        "unlabelled faces of the first fold, less 1,000 for validation, with the raw stream of "
        f"PCG64, seed {VALIDATION_SEED}; test are the fold's test faces"
    ),
    source="Susskind, Anderson & Hinton 2010, The Toronto Face Database, UTML TR 2010-001",
    licence="on request only, from its authors",
    read=read,
    files=(RawFile(NAME, FORM, 2_000_000_000, digest=form),),
)
