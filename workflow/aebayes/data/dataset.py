"""A prepared dataset, checked against its card: in memory, or in its file if it is large."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aebayes.data.recipe import SPLITS
from aebayes.errors import AebayesError
from aebayes.files import find_json, read_npz, sha256

REMEDY = "delete it and its card and prepare the dataset again"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and classes by split.

    Attributes:
        name: the dataset.
        shape: channels, height and width of an image.
        scale: the intensity that stands for 1.
        classes: how many classes the labels name.
        sha256: of the npz.
        arrays: by split, images (N, C, H, W) uint8 and classes (N,) int64.
    """

    name: str
    shape: tuple[int, int, int]
    scale: int
    classes: int
    sha256: str
    arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @property
    def pixels(self) -> int:
        """X, the numbers of an image, channels included."""
        return int(np.prod(self.shape))

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, C, H, W) uint8 and classes (N,) int64 of `train`, `validation` or `test`.

        Raises:
            AebayesError: there is no such split.
        """
        if name not in self.arrays:
            raise AebayesError(f"unknown split {name!r}", f"use one of {', '.join(self.arrays)}")
        return self.arrays[name]


def load(npz: Path, card: Path | None = None) -> Dataset:
    """Load a prepared dataset.

    Args:
        npz: as `prepare` wrote it.
        card: its card; by default the JSON of the same name beside it.

    Raises:
        AebayesError: a file is missing, or npz and card do not agree.
    """
    card = card or npz.with_suffix(".json")
    facts = _read_card(card)
    _check_hash(npz, card, facts["sha256"])
    content = read_npz(npz, mapped=True)  # its hash is right
    shape = tuple(facts["shape"])
    arrays = {split: _split_of(content, npz, split) for split in SPLITS}
    for split, (x, y) in arrays.items():
        check_split(f"{split} of {npz}", x, y, shape, facts["scale"], facts["classes"])
    return Dataset(facts["name"], shape, facts["scale"], facts["classes"], facts["sha256"], arrays)


def check_split(
    where: str, x: np.ndarray, y: np.ndarray, shape: tuple[int, ...], scale: int, classes: int
) -> None:
    """Check that images and classes are of the promised types, shapes and ranges.

    Raises:
        AebayesError: one is not; the message starts with `where`.
    """
    found = f"{x.dtype} images {x.shape} and {y.dtype} classes {y.shape}"
    if x.dtype != np.uint8 or x.shape[1:] != shape or y.dtype != np.int64 or y.shape != x.shape[:1]:
        raise AebayesError(
            f"{where}: {found}, expected uint8 (N, {', '.join(map(str, shape))}) and int64 (N,)",
            REMEDY,
        )
    if len(x) == 0:
        raise AebayesError(f"{where}: no images", REMEDY)
    if x.max() > scale:
        raise AebayesError(f"{where}: intensity {x.max()} is above the scale, {scale}", REMEDY)
    if y.min() < 0 or y.max() >= classes:
        raise AebayesError(
            f"{where}: classes {y.min()} .. {y.max()} are not within 0 .. {classes - 1}", REMEDY
        )


def _read_card(path: Path) -> dict:
    facts = find_json(path)
    if facts is None:
        steps = (f"python -m aebayes {step} {path.stem}" for step in ("fetch", "prepare"))
        raise AebayesError(f"{path} is missing", f"make the dataset: {', then '.join(steps)}")
    if not all(
        isinstance(facts.get(key), kind)
        for key, kind in {
            "name": str,
            "shape": list,
            "scale": int,
            "classes": int,
            "sha256": str,
        }.items()
    ):
        raise AebayesError(
            f"{path} is not the card of a dataset: it needs name, shape, scale, classes and sha256",
            "delete it and prepare the dataset again",
        )
    return facts


def _check_hash(npz: Path, card: Path, expected: str) -> None:
    try:
        found = sha256(npz)
    except OSError as problem:
        raise AebayesError(
            f"cannot read {npz}: {problem.strerror or problem}", "prepare the dataset"
        ) from problem
    if found != expected:
        raise AebayesError(
            f"{npz} is not the file that {card} describes: "
            f"SHA-256 {found[:12]}… instead of {expected[:12]}…",
            REMEDY,
        )


def _split_of(
    content: dict[str, np.ndarray], npz: Path, split: str
) -> tuple[np.ndarray, np.ndarray]:
    missing = [key for key in (f"{split}_x", f"{split}_y") if key not in content]
    if missing:
        raise AebayesError(f"{npz} has no array {missing[0]}", REMEDY)
    return content[f"{split}_x"], content[f"{split}_y"]
