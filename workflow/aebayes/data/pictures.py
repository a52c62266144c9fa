"""Pictures in a zip archive: read in the order of their paths, never unpacked to disk."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aebayes.files import BROKEN_NPZ

# What PIL raises on a spoilt picture, and zipfile on a spoilt archive.
BROKEN = (OSError, SyntaxError, *BROKEN_NPZ)


@dataclass(frozen=True)
class Pictures:
    """What is looked for in an archive; whatever else is packed with it is not read.

    Args:
        layout: of a member's whole path; its group `path` names the picture.
        wanted: the same in words.
        size: width and height of a picture, in pixels.
        most_bytes: that a picture's file may have.
        formats: of its file, as PIL names them.
        colours: three to a pixel, red, green and blue, instead of one grey level.
    """

    layout: re.Pattern
    wanted: str
    size: tuple[int, int]
    most_bytes: int
    formats: tuple[str, ...]
    colours: bool = False

    def read(self, path: Path) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the pictures of an archive in the order of their paths.

        Yields:
            Its path, as `layout` has it, and its levels, (height, width), or with colours
            (height, width, 3), uint8.

        Raises:
            ValueError: it is no archive of such pictures.
        """
        with path.open("rb") as file:  # a missing file is an OSError, a spoilt one is not
            try:
                archive = zipfile.ZipFile(file)
            except BROKEN as problem:
                raise ValueError(f"not a zip archive: {problem}") from problem
            for name, member in sorted(self.members(archive).items()):
                yield name, self.decode(archive, member)

    def members(self, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """The pictures among the members, by path."""
        members = {}
        for member in archive.infolist():
            if match := self.layout.fullmatch(member.filename):
                if match["path"] in members:
                    raise ValueError(f"it has {match['path']} twice")
                members[match["path"]] = member
        if not members:
            raise ValueError(f"it has no {self.wanted}")
        return members

    def decode(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
        """A picture's levels, as `read` yields them.

        Raises:
            ValueError: it is no picture of that size, or absurdly large.
        """
        # Here, because only datasets of pictures need it.
        from PIL import Image

        if member.file_size > self.most_bytes:
            raise ValueError(f"{member.filename} unpacks to {member.file_size} bytes")
        try:
            content = io.BytesIO(archive.read(member))
            with Image.open(content, formats=list(self.formats)) as image:
                if image.size == self.size:  # as its header says: nothing is decoded
                    return np.asarray(image.convert("RGB" if self.colours else "L"))
        except (Image.DecompressionBombError, *BROKEN) as problem:
            kinds = " or ".join(self.formats)
            raise ValueError(f"{member.filename} is not a readable {kinds}: {problem}") from problem
        found, wanted = ("x".join(map(str, size)) for size in (image.size, self.size))
        raise ValueError(f"{member.filename} is {found}, not {wanted}")
