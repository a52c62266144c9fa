"""The idx format of the MNIST files, read strictly.

Two zero bytes, a type (8 is an unsigned byte, the only one that MNIST uses), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values, the last dimension
running fastest.
"""

import math
from pathlib import Path

import numpy as np

from aebayes.errors import AebayesError

UNSIGNED_BYTE = 8
MAGIC_BYTES = 4
DIMENSION_BYTES = 4


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of unsigned bytes.

    Returns:
        Values in the shape that the header gives, uint8.

    Raises:
        AebayesError: the file is missing, no idx file of bytes, or longer or shorter than it says.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise _unreadable(path, problem.strerror or str(problem)) from problem
    shape, start = _header(path, content)
    values = math.prod(shape)  # of Python integers: absurd dimensions do not overflow
    if len(content) - start != values:
        raise _unreadable(
            path, f"shape {shape} needs {values} values, the file has {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _header(path: Path, content: bytes) -> tuple[tuple[int, ...], int]:
    """The shape, and where the values start."""
    magic = content[:MAGIC_BYTES]
    if len(magic) < MAGIC_BYTES or magic[:3] != bytes((0, 0, UNSIGNED_BYTE)) or magic[3] == 0:
        raise _unreadable(path, f"it starts with {magic.hex() or 'nothing'}, not 000008..")
    start = MAGIC_BYTES + magic[3] * DIMENSION_BYTES
    if len(content) < start:
        raise _unreadable(path, f"it ends within its header of {start} bytes")
    shape = np.frombuffer(content, ">u4", count=magic[3], offset=MAGIC_BYTES)
    return tuple(int(length) for length in shape), start


def _unreadable(path: Path, reason: str) -> AebayesError:
    return AebayesError(
        f"{path} is not a whole idx file of bytes: {reason}", "delete it and fetch it again"
    )
