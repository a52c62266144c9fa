"""How a dataset says what it is: its raw files, their true hashes, and the way from them to arrays.

A dataset is one module that ends in a `RECIPE`; `four_points.py` is the shortest example.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aebayes import files

SPLITS = ("train", "validation", "test")

# By split: images (N, C, H, W) uint8 and their classes (N,) int64.
Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RawFile:
    """One file as it lies in `data/raw/<dataset>/`.

    Attributes:
        name: its name there.
        expected: what `digest` gives of the true file, in hex.
        size: most bytes that it may have; no download or decompression goes on beyond.
        addresses: official URLs, in the order in which to try them.
        gzipped: mirrors and official addresses hold it as `<name>.gz`.
        digest: what is compared with `expected`: SHA-256 of the file's bytes, unless an archive's
            own bytes differ between mirrors and only its content can be compared, or another hash
            is the only one published. Raises a ValueError that says what is wrong with a file in
            which it finds no such content.
    """

    name: str
    expected: str
    size: int
    addresses: tuple[str, ...] = ()
    gzipped: bool = False
    digest: Callable[[Path], str] = files.sha256

    @property
    def served(self) -> str:
        """Its name on mirrors and at official addresses."""
        return f"{self.name}.gz" if self.gzipped else self.name


@dataclass(frozen=True)
class Recipe:
    """A dataset, from raw files to splits.

    Attributes:
        name: its name in configs and paths.
        shape: channels, height and width of an image.
        scale: the intensity that stands for 1.
        classes: how many classes the labels name, 0 .. classes - 1; 1 where there are none.
        split: how train, validation and test were chosen, in words.
        source: where it comes from, and whom to cite.
        licence: as far as known.
        read: from the folder of the verified raw files to the splits.
        files: the raw files; none for a dataset that is made here or shipped with a library.
        shared_folder: where mirrors may hold the files, too, beside the folder of its name: that of
            other datasets from the same source.
    """

    name: str
    shape: tuple[int, int, int]
    scale: int
    classes: int
    split: str
    source: str
    licence: str
    read: Callable[[Path], Splits]
    files: tuple[RawFile, ...] = ()
    shared_folder: str | None = None

    @property
    def module(self) -> str:
        """The name of the module, beside this one, that reads it."""
        return getattr(self.read, "func", self.read).__module__.rpartition(".")[2]
