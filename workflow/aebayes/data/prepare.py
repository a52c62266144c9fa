"""Verified raw files to one npz of splits and one card that says what is in it."""

from pathlib import Path

import numpy as np

from aebayes.data import recipe_of
from aebayes.data.dataset import check_split
from aebayes.data.fetch import Unusable, verify
from aebayes.data.recipe import SPLITS, Recipe, Splits
from aebayes.errors import AebayesError
from aebayes.files import sha256, write_json, write_npz
from aebayes.provenance import Began
from aebayes.records import step_record


def prepare(name: str, raw: Path, out: Path, card: Path, record: Path | None = None) -> None:
    """Write a dataset's npz, then its card, then how they were made.

    The npz has `train_x`, `train_y`, `validation_x`, ... `test_y`: images (N, C, H, W) uint8 with
    intensities 0 .. scale, classes (N,) int64. Same raw files, same bytes.

    Args:
        name: the dataset.
        raw: the folder of all raw files, usually `data/raw`.
        out: the npz to write.
        card: the JSON to write: the same bytes wherever the dataset is.
        record: the JSON to write of where, when and by what code; none if absent.

    Raises:
        AebayesError: the dataset is unknown, a raw file is missing or wrong, or a file cannot be
            written.
    """
    began = Began.now()
    recipe = recipe_of(name)
    _verify_raw_files(recipe, raw / name)
    splits = recipe.read(raw / name)
    for split in SPLITS:
        check_split(
            f"{split} of {name}", *splits[split], recipe.shape, recipe.scale, recipe.classes
        )
    write_npz(
        out,
        {f"{s}_{key}": array for s in SPLITS for key, array in zip("xy", splits[s], strict=True)},
    )
    write_json(card, _card(recipe, splits, sha256(out)))
    if record:
        read = {f"data/raw/{name}/{f.name}": sha256(raw / name / f.name) for f in recipe.files}
        made = {f"data/processed/{path.name}": sha256(path) for path in (out, card)}
        libraries = ("numpy", "pillow", "scikit-learn", "scipy")
        content = step_record(
            "prepare", {"dataset": name}, read, made, libraries, began, own=recipe.module
        )
        write_json(record, content)


def _verify_raw_files(recipe: Recipe, folder: Path) -> None:
    for file in recipe.files:
        try:
            verify(file, folder / file.name)
        except Unusable as problem:
            raise AebayesError(
                f"{folder / file.name}: {problem}",
                f"fetch it: python -m aebayes fetch {recipe.name}",
            ) from problem


def _card(recipe: Recipe, splits: Splits, npz_sha256: str) -> dict:
    images = [splits[split][0] for split in SPLITS]
    return {
        "name": recipe.name,
        "shape": list(recipe.shape),
        "scale": recipe.scale,
        "classes": recipe.classes,
        "counts": {split: len(splits[split][0]) for split in SPLITS},
        "range": [int(np.min([x.min() for x in images])), int(np.max([x.max() for x in images]))],
        "split": recipe.split,
        "sha256": npz_sha256,
        "raw": {file.name: file.expected for file in recipe.files},
        "source": recipe.source,
        "licence": recipe.licence,
    }
