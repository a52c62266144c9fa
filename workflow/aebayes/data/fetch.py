"""Raw files into `data/raw/<dataset>/`, verified, from the first source that has the right ones.

The sources, in order: the folder itself, the mirrors of the config, those of `AEBAYES_MIRRORS`, the
official addresses. A file is streamed, unpacked and measured in one pass, and gets its name only
when its hash is right.
"""

import itertools
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pooch
from tqdm import tqdm

from aebayes.data import recipe_of
from aebayes.data.recipe import RawFile, Recipe
from aebayes.errors import AebayesError
from aebayes.files import replacing

MIRRORS_VARIABLE = "AEBAYES_MIRRORS"
TIMEOUT = (10, 60)  # seconds: to connect, and between two pieces of an answer
CHUNK = 1 << 16  # bytes
GZIP_MAGIC = b"\x1f\x8b"
GZIP_WBITS = 31  # zlib's number for a gzip header and trailer

log = logging.getLogger(__name__)


class Unusable(Exception):
    """A source that cannot be reached, lacks the file or has a wrong one; the next is tried."""


def fetch(name: str, raw: Path, mirrors: Sequence[str] = (), progress: bool = False) -> list[Path]:
    """Bring the raw files of a dataset; those already there and right are left untouched.

    Args:
        name: the dataset.
        raw: the folder of all raw files, usually `data/raw`.
        mirrors: directories or http(s) URLs laid out as `<dataset>/<file>`.
        progress: show a bar for each download, when on a terminal.

    Returns:
        The raw files, none for a dataset that has none.

    Raises:
        AebayesError: the dataset is unknown, a folder cannot be written, or no source has a file;
            the message lists every source and what was wrong with it.
    """
    every_mirror = (*mirrors, *mirrors_from_environment())
    recipe = recipe_of(name)
    return [_fetch_file(recipe, file, raw / name, every_mirror, progress) for file in recipe.files]


def at_hand(name: str, raw: Path, mirrors: Sequence[str] = ()) -> bool:
    """Whether all of a dataset's raw files lie in its own folder, or in one mirror's.

    Nothing is opened.

    Raises:
        AebayesError: the dataset is unknown.
    """
    recipe = recipe_of(name)
    folders = [
        Path(os.path.expanduser(mirror)) / folder
        for mirror in (*mirrors, *mirrors_from_environment())
        if "://" not in mirror
        for folder in _folders(recipe)
    ]
    places = [raw / name, *folders]
    return any(
        all(os.path.isfile(_in_directory(place, file)) for file in recipe.files) for place in places
    )


def mirrors_from_environment() -> list[str]:
    """The mirrors in `AEBAYES_MIRRORS`, separated by commas, because URLs contain colons."""
    return [
        entry.strip() for entry in os.environ.get(MIRRORS_VARIABLE, "").split(",") if entry.strip()
    ]


def verify(file: RawFile, path: Path) -> None:
    """Compare a file with what its dataset says of it.

    Raises:
        Unusable: it is missing or wrong.
    """
    try:
        path.stat()  # what is not there has no content to be wrong
        found = file.digest(path)
    except OSError as problem:
        raise Unusable(_reason(problem)) from problem
    except ValueError as problem:
        raise Unusable(f"wrong content: {problem}") from problem
    if found != file.expected:
        raise Unusable(f"wrong content, hash {found[:12]}… instead of {file.expected[:12]}…")


def _fetch_file(
    recipe: Recipe, file: RawFile, folder: Path, mirrors: Sequence[str], progress: bool
) -> Path:
    target = folder / file.name
    failures = []
    try:
        verify(file, target)
        return target
    except Unusable as problem:
        failures.append((str(target), problem))
        if os.path.exists(target):
            log.warning("%s: %s; looking for the right one", target, problem)
    for source, read in _sources(recipe, file, folder, mirrors, progress):
        try:
            _take(file, read, target)
        except Unusable as problem:
            log.warning("%s: %s", source, problem)
            failures.append((source, problem))
        else:
            log.info("%s: from %s", target, source)
            return target
    with suppress(OSError):
        folder.rmdir()  # where every source failed, nothing is left of the tries
    raise _nowhere(recipe, file, folder, failures)


def _folders(recipe: Recipe) -> list[str]:
    """The folders of a mirror in which a dataset's files may lie."""
    return list(dict.fromkeys(name for name in (recipe.name, recipe.shared_folder) if name))


def _sources(
    recipe: Recipe, file: RawFile, folder: Path, mirrors: Sequence[str], progress: bool
) -> Iterator[tuple[str, Callable[["Receiver"], None]]]:
    """Every place beside the target itself: its name, and a function that reads from it."""
    # os.path, not pathlib: a folder that may not be looked into counts as lacking the file
    archive = folder / file.served
    if file.gzipped and os.path.isfile(archive):
        yield str(archive), partial(_copy, archive)
    for mirror, name in itertools.product(mirrors, _folders(recipe)):
        if "://" in mirror:
            url = f"{mirror.rstrip('/')}/{name}/{file.served}"
            yield url, partial(_download, url, progress)
        else:
            path = _in_directory(Path(os.path.expanduser(mirror)) / name, file)
            yield str(path), partial(_copy, path)
    for url in file.addresses:
        yield url, partial(_download, url, progress)


def _in_directory(folder: Path, file: RawFile) -> Path:
    """The file as served, or else as unpacked: another project's data/raw is a mirror, too."""
    served, unpacked = folder / file.served, folder / file.name
    return unpacked if os.path.isfile(unpacked) and not os.path.isfile(served) else served


def _take(file: RawFile, read: Callable[["Receiver"], None], target: Path) -> None:
    """Move what `read` brings to `target`, if it is whole and right."""
    with replacing(target) as temporary:
        with temporary.open("wb") as out:
            receiver = Receiver(file, target, out)
            read(receiver)
            receiver.finish()
        verify(file, temporary)


class Receiver:
    """What a source writes to: unpacks a gzipped file, and refuses more bytes than the file has."""

    def __init__(self, file: RawFile, target: Path, out: BinaryIO):
        self.file, self.target, self.out = file, target, out
        self.received = self.written = 0
        self.head = b""
        self.gunzip = zlib.decompressobj(GZIP_WBITS)
        self.packed: bool | None = None if file.gzipped else False  # None: not seen yet

    def write(self, chunk: bytes) -> None:
        """Take the next bytes as the source has them.

        Raises:
            Unusable: they are too many, or no gzip stream.
            AebayesError: the disk does not take them.
        """
        self.received += len(chunk)
        # Twice, since a gzip stream may be a little longer than what is in it, but not much.
        if self.received > 2 * self.file.size + CHUNK:
            raise Unusable(f"more than the {self.file.size} bytes expected")
        if self.packed is None:
            # Some servers unpack as they send: the first bytes tell, the name does not.
            self.head += chunk
            if len(self.head) < len(GZIP_MAGIC):
                return
            self.packed = self.head.startswith(GZIP_MAGIC)
            chunk = self.head
        self._keep(self._unpack(chunk) if self.packed else chunk)

    def flush(self) -> None:
        """Nothing: a downloader calls it after every chunk, and closing the file is enough."""

    def finish(self) -> None:
        """Say that the source has ended.

        Raises:
            Unusable: the gzip stream has not.
        """
        if self.packed and not self.gunzip.eof:
            raise Unusable("cut short: the gzip stream does not end")

    def _unpack(self, chunk: bytes) -> bytes:
        """At most one byte more than the file may have: enough to see that it is too long."""
        if self.gunzip.eof:
            return b""
        try:
            return self.gunzip.decompress(chunk, self.file.size - self.written + 1)
        except zlib.error as problem:
            raise Unusable(f"damaged gzip stream: {problem}") from problem

    def _keep(self, content: bytes) -> None:
        self.written += len(content)
        if self.written > self.file.size:
            raise Unusable(f"more than the {self.file.size} bytes expected")
        try:
            self.out.write(content)
        except OSError as problem:
            raise AebayesError(
                f"cannot write {self.target}: {_reason(problem)}",
                "check that the folder is writable and the disk has room, then start again",
            ) from problem


def _copy(path: Path, receiver: Receiver) -> None:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                receiver.write(chunk)
    except OSError as problem:
        raise Unusable(_reason(problem)) from problem


def _download(url: str, progress: bool, receiver: Receiver) -> None:
    if not url.startswith(("http://", "https://")):
        raise Unusable("neither a directory nor an http(s) URL")
    try:
        with _bar(receiver.file, progress) as bar:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)(
                url, receiver, None
            )
    except (OSError, ValueError) as problem:  # requests' exceptions are OSErrors
        raise Unusable(_reason(problem)) from problem


def _bar(file: RawFile, progress: bool) -> tqdm:
    """A bar in bytes, on a terminal only; its total holds until the server says how many."""
    return tqdm(
        desc=file.served,
        total=file.size,
        unit="B",
        unit_scale=True,
        disable=None if progress else True,
    )


def _reason(problem: BaseException) -> str:
    """What was wrong at the bottom, in a line: the layers above repeat the path or URL."""
    while problem.__cause__ or problem.__context__:
        problem = problem.__cause__ or problem.__context__
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return text.splitlines()[0]


def _nowhere(
    recipe: Recipe, file: RawFile, folder: Path, failures: list[tuple[str, Unusable]]
) -> AebayesError:
    held = " or ".join(f"{name}/{file.served}" for name in _folders(recipe))
    tried = "".join(f"\n  {source}: {problem}" for source, problem in failures)
    internet = ", or connect to the internet" if file.addresses else ""
    return AebayesError(
        f"cannot get {file.name} of dataset {recipe.name}; tried{tried}",
        f"name a mirror (a directory or URL that holds {held}) in the config's "
        f"mirrors or in {MIRRORS_VARIABLE}, or put {file.served} into {folder}{internet}; then "
        "start again",
    )
