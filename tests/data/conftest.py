"""A tiny dataset with raw files, a loopback server, and no way out of the machine."""

import gzip
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from aebayes.data import DATASETS
from aebayes.data.idx import read_idx
from aebayes.data.recipe import SPLITS, RawFile, Recipe


def idx(values: np.ndarray) -> bytes:
    """An idx file of bytes."""
    header = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


@dataclass
class Tiny:
    """A registered dataset: one gzipped file, one stored as it is."""

    images: bytes
    labels: bytes
    official: str

    def fill(self, mirror: Path, images: bytes | None = None) -> Path:
        """Lay out a mirror; `images` instead of the right archive, if given."""
        folder = mirror / "tiny"
        folder.mkdir(parents=True)
        (folder / "images.gz").write_bytes(images or gzip.compress(self.images))
        (folder / "labels").write_bytes(self.labels)
        return mirror


def _read_tiny(folder: Path) -> dict:
    images, labels = read_idx(folder / "images"), read_idx(folder / "labels")
    return {split: (images[:, None], labels.astype(np.int64)) for split in SPLITS}


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> str:
    """No mirrors, no proxies, and official addresses on a loopback port where nobody listens."""
    for name in ("AEBAYES_MIRRORS", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name, recipe in list(DATASETS.items()):
        files = tuple(replace(f, addresses=(f"{closed}/{f.served}",)) for f in recipe.files)
        monkeypatch.setitem(DATASETS, name, replace(recipe, files=files))
    return closed


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, no_way_out: str) -> Tiny:
    """A dataset of five 2x3 images in three classes, registered as `tiny`."""
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 3), dtype=np.uint8)
    made = Tiny(idx(images), idx(np.array([0, 1, 2, 0, 1])), no_way_out)
    files = tuple(
        RawFile(
            name,
            hashlib.sha256(content).hexdigest(),
            len(content),
            (f"{no_way_out}/{name}",),
            gzipped=name == "images",
        )
        for name, content in (("images", made.images), ("labels", made.labels))
    )
    recipe = Recipe("tiny", (1, 2, 3), 255, 3, "all", "made", "none", _read_tiny, files)
    monkeypatch.setitem(DATASETS, "tiny", recipe)
    return made


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a server on loopback, of a folder or of one answer to everything; gives its URL."""
    servers = []

    def start(folder: Path | None = None, body: bytes = b"", headers: dict | None = None) -> str:
        handler = (
            partial(QuietFiles, directory=str(folder))
            if folder
            else _answering(body, headers or {})
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        # shutdown() waits for the next poll: the default half a second would add up
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves a folder, logging nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


def _answering(body: bytes, headers: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Fixed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the client may hang up before the end
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Fixed
