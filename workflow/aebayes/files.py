"""Whole files or none: atomic writes, hashes, and arrays equal in bytes if equal in values."""

import glob
import hashlib
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import numpy as np

from aebayes.errors import AebayesError, CannotWrite

# Zip entries carry a date; a fixed one makes equal arrays equal files.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

# What zipfile, its decompressors and numpy raise on a spoilt archive, beside OSError; a password or
# an unknown compression is a RuntimeError, an absurd shape a MemoryError.
BROKEN_NPZ = (
    *(ValueError, TypeError, KeyError, EOFError, OverflowError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
# Bytes of an array from which on `read_npz` may leave it in its file.
MAPPED_FROM = 1 << 28
LENGTHS_AT = 26  # in the header of a zip's entry: how long its name is, and what comes after that

MAKE = "run the step that makes it"
AGAIN = "delete it and run the step that makes it again"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there, whole, if the block ends well.

    Raises:
        AebayesError: the folder or file cannot be written.
    """
    temporary = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in abandoned(path):
            left.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        raise CannotWrite.to(path, problem) from problem
    finally:
        with suppress(OSError):
            temporary.unlink()


def partial_of(path: Path) -> Path:
    """Where this process makes what then takes the place of `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def abandoned(path: Path) -> Iterator[Path]:
    """What processes that were killed left half made beside `path`, where they left it.

    To be asked for before anything is made there: what bears this process's number is another's,
    which had it before, as in a container the first process always has the same.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = left.name.removeprefix(f".{path.name}.").removesuffix(".partial")
        if process.isdecimal() and not is_running(int(process)):
            yield left


def is_running(process: int) -> bool:
    """Whether another process of this number is there."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # another user's
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON; NaN and infinity, which JSON lacks, are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, make: str = MAKE) -> dict:
    """Read the object in a JSON file.

    Args:
        make: the remedy if it is missing.

    Raises:
        AebayesError: it is missing, cannot be read, is not JSON, or holds no object.
    """
    content = find_json(path)
    if content is None:
        raise AebayesError(f"{path} is missing", make)
    return content


def find_json(path: Path) -> dict | None:
    """Read the object in a JSON file; None if there is no such file.

    Raises:
        AebayesError: it is there, but cannot be read, is not JSON, or holds no object.
    """
    try:
        content = json.loads(path.read_text(), parse_constant=refuse_constant)
    except FileNotFoundError:
        return None
    except OSError as problem:
        refuse_unreadable(path, problem)
    except (ValueError, RecursionError) as problem:
        raise AebayesError(f"{path} is not JSON: {problem}", AGAIN) from problem
    if not isinstance(content, dict):
        raise AebayesError(
            f"{path} holds a JSON {type(content).__name__}, expected an object", AGAIN
        )
    return content


def refuse_constant(name: str) -> NoReturn:
    """Say that NaN and infinity are no JSON, though Python reads them.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"it holds {name}")


def refuse_unreadable(path: Path, problem: OSError) -> NoReturn:
    """Say that the system does not give the file's bytes: a folder in its place, permissions.

    Raises:
        AebayesError: always.
    """
    raise AebayesError(
        f"cannot read {path}: {problem.strerror or problem}",
        "see that it is a file that you may read, or delete it and run the step that makes it",
    ) from problem


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an npz whose bytes depend on nothing but names and values.

    Entries are stored, not deflated: zlib's output differs between its builds.

    Raises:
        AebayesError: an array holds Python objects, which only pickle could store.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            array = np.asarray(array)
            if array.dtype.hasobject:
                raise AebayesError(f"array {name!r} of {path} holds objects", "store plain numbers")
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            entry.file_size = array.nbytes  # nearly: large ones need a longer header
            with archive.open(entry, "w") as member:
                contiguous = np.ascontiguousarray(array)
                np.lib.format.write_array(member, contiguous, allow_pickle=False)


def read_npz(
    path: Path, mapped: bool = False, make: str = MAKE, compressed: bool = False
) -> dict[str, np.ndarray]:
    """Read every array of an npz, never unpickling.

    Args:
        mapped: arrays of `MAPPED_FROM` bytes and more stay in the file, whose pages come to memory
            as they are used; their checksums are not looked at. Writing to one changes no file.
        make: the remedy if the file is missing.
        compressed: whether it may be, as one that was verified; else its arrays, which
            `write_npz` leaves as they are, take no more memory than the file is long.

    Raises:
        AebayesError: the file is missing, cannot be read, is cut short or spoilt, or holds objects
            or anything else that is no array.
    """
    try:
        zipfile.ZipFile(path).close()  # of what is no zip numpy says that it is a pickle
        with np.load(path, allow_pickle=False) as archive:
            entries = {name: archive.zip.getinfo(f"{name}.npy") for name in archive.files}
            for entry in entries.values():
                if entry.compress_type != zipfile.ZIP_STORED and not compressed:
                    raise ValueError(f"{entry.filename} is compressed")
            arrays = {
                name: _in_place(path, entry)
                if mapped and entry.file_size >= MAPPED_FROM
                else archive[name]
                for name, entry in entries.items()
            }
    except FileNotFoundError as problem:
        raise AebayesError(f"{path} is missing", make) from problem
    except OSError as problem:
        refuse_unreadable(path, problem)
    except BROKEN_NPZ as problem:
        raise AebayesError(f"{path} is not a readable npz: {problem}", AGAIN) from problem
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise AebayesError(f"{path} is not a readable npz: {name!r} is no array", AGAIN)
    return arrays


def _in_place(path: Path, entry: zipfile.ZipInfo) -> np.ndarray:
    """An array of an npz, which stays in the file."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + LENGTHS_AT)
        name, extra = struct.unpack("<HH", file.read(4))
        began = file.seek(name + extra, os.SEEK_CUR)
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{entry.filename} is of another version of npy")
        shape, transposed, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        array = np.memmap(file, dtype, "c", start, shape, "F" if transposed else "C")
        if start - began + array.nbytes != entry.file_size:
            raise ValueError(f"{entry.filename} is not as long as its array")
        return array


def md5(path: Path) -> str:
    """MD5 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(value: object) -> str:
    """SHA-256 of a plain value (dicts, lists, numbers, strings), by its canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
