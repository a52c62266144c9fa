"""MATLAB files: arrays of numbers, nothing else."""

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

# What scipy raises on what is no MATLAB file, or a spoilt one; the last for a class of arrays that
# it does not know.
BROKEN = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError),
    *(NotImplementedError, zlib.error, UnboundLocalError),
)

HEADER = 128  # bytes, of which the last two say which end of a number comes first
BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = 14, 15
NUMBERS = range(6, 16)  # classes of arrays: double to uint64
FLAGS, DIMENSIONS, NAME = 6, 5, 1  # types of an array's first parts
NUMBER_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
CLASS, COMPLEX = 0xFF, 0x800  # in an array's flags
BEGINNING = 1 << 16  # bytes of an array in which its sizes and name stand
MOST_COMPRESSION = 1032  # zlib's


def read_mat_array(path: Path, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """One array of numbers; the others, which would take as much memory again, stay unread.

    Args:
        shape: of the array; None for any length.

    Raises:
        ValueError: it is no MATLAB file, or has no such array; says which.
    """
    # Here, because it takes a third of a second to import and other datasets do without it.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        check_sizes(path)
        array = loadmat(path, variable_names=[key], appendmat=False).get(key)
    except (MatReadError, struct.error, *BROKEN) as problem:
        raise ValueError(f"it is no whole MATLAB file: {problem}") from problem
    if array is None:
        raise ValueError(f"it has no {key}")
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "fui"
        or len(array.shape) != len(shape)
        or any(want not in (None, found) for want, found in zip(shape, array.shape, strict=True))
    ):
        expected = "(" + ", ".join("any" if each is None else str(each) for each in shape) + ")"
        raise ValueError(
            f"{key} is {getattr(array, 'dtype', type(array).__name__)} "
            f"{getattr(array, 'shape', '')}, expected numbers {expected}"
        )
    return array


def check_sizes(path: Path) -> None:
    """Check that no array claims more bytes than there are: scipy would ask for memory for them.

    Raises:
        ValueError: one does, or it is no MATLAB 5 file.
    """
    with path.open("rb") as file:
        header = file.read(HEADER)
        order = BYTE_ORDERS.get(header[126:])
        if order is None or 0 in header[:4]:  # which scipy takes for MATLAB 4
            raise ValueError("it has no header of MATLAB 5")
        for kind, count in elements(file, order):
            content = file.read(min(count, BEGINNING))
            most = count
            if kind == COMPRESSED:
                content = zlib.decompressobj().decompress(content, BEGINNING)
                kind, count = struct.unpack(f"{order}2I", content[:8])
                content, most = content[8:], MOST_COMPRESSION * most
            if kind == MATRIX:
                check_array(content, min(count, most), order)


def elements(file: BinaryIO, order: str) -> Iterator[tuple[int, int]]:
    """Type and bytes of each element of a file, which stands at its first byte in between."""
    size, at = os.fstat(file.fileno()).st_size, HEADER
    while at < size:
        file.seek(at)
        kind, count = struct.unpack(f"{order}2I", file.read(8))
        at += 8 + count
        if at > size:
            raise ValueError(f"an element of {count} bytes ends after the file")
        yield kind, count


def check_array(content: bytes, count: int, order: str) -> None:
    """Check what an array claims of its dimensions, its name and its numbers.

    Args:
        content: its bytes, or the first of them.
        count: how many there are in all, at most.

    Raises:
        ValueError: it claims more than it has, or is in no form that scipy is known to read safely.
    """
    flags, at = part(content, 0, order, FLAGS)
    dimensions, at = part(content, at, order, DIMENSIONS)
    _, at = part(content, at, order, NAME)
    (flags,) = struct.unpack(f"{order}I", flags[:4])
    if flags & CLASS not in NUMBERS:
        return  # text, a cell, a structure: it is not read
    if flags & COMPLEX:
        raise ValueError("an array is of complex numbers")
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    kind, _, numbers, _ = tag(content, at, order)
    if kind not in NUMBER_TYPES:
        raise ValueError(f"an array is of numbers of an unknown type, {kind}")
    if min(shape, default=0) < 0 or max(math.prod(shape), numbers) > count:
        raise ValueError(f"an array {shape} does not fit into its {count} bytes")


def part(content: bytes, at: int, order: str, wanted: int) -> tuple[bytes, int]:
    """A small part of an array, and where the next begins.

    Raises:
        ValueError: it is of another type than is wanted, or longer than what there is.
    """
    kind, start, count, end = tag(content, at, order)
    if kind != wanted or start + count > len(content):
        raise ValueError(
            f"a part of type {kind} and {count} bytes is where one of {wanted} should be"
        )
    return content[start : start + count], end


def tag(content: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """The type of the part at a place, where it starts, its bytes, and where the next begins."""
    kind, count = struct.unpack_from(f"{order}2I", content, at)
    if kind >> 16:  # up to four bytes stand in the tag itself
        return kind & 0xFFFF, at + 4, kind >> 16, at + 8
    return kind, at + 8, count, at + 8 + -(-count // 8) * 8
