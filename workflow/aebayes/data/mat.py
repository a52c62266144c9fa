"""MATLAB files: arrays of numbers, nothing else."""

import zlib
from pathlib import Path

import numpy as np

# What scipy raises on what is no MATLAB file, or a spoilt one.
BROKEN = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError),
    *(NotImplementedError, zlib.error),
)


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
        array = loadmat(path, variable_names=[key], appendmat=False).get(key)
    except (MatReadError, *BROKEN) as problem:
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
