import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aebayes.data import DATASETS, omniglot_drawings
from aebayes.data.dataset import load
from aebayes.data.fetch import fetch
from aebayes.data.omniglot_drawings import digest, drawings, overlaps, read_archive, shrink, split
from aebayes.data.prepare import prepare
from aebayes.data.recipe import SPLITS
from aebayes.errors import AebayesError
from aebayes.files import sha256

ARCHIVES = ("images_background.zip", "images_evaluation.zip")
INK = np.random.default_rng(0).random((6, 105, 105)) < 0.1
NAMES = [
    f"{character}/{number:04d}_{drawer:02d}"
    for number, character in enumerate(
        ("Greek/character01", "Greek/character02", "Latin/character01")
    )
    for drawer in (1, 2)
]


def png(ink: np.ndarray, mode: str = "1") -> bytes:
    """A drawing as the original archives have it: ink is 0, paper 1."""
    buffer = io.BytesIO()
    Image.fromarray(~ink).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


MEMBERS = {f"images_background/{name}.png": png(ink) for name, ink in zip(NAMES, INK, strict=True)}


def packed(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def mirror() -> Path:
    """A directory that holds the real archives."""
    named = [entry.strip() for entry in os.environ.get("AEBAYES_MIRRORS", "").split(",")]
    neighbour = Path(__file__).resolve().parents[3] / "shared" / "data"
    for folder in (*(Path(entry) for entry in named if entry), neighbour):
        if any(
            (folder / name / ARCHIVES[0]).is_file() for name in ("omniglot_drawings", "omniglot")
        ):
            return folder
    pytest.skip("no OMNIGLOT mirror: set AEBAYES_MIRRORS")


def test_ink_is_read_in_the_order_of_the_paths(tmp_path):
    shuffled = dict(reversed(MEMBERS.items()))
    found = list(drawings(packed(tmp_path / "some.zip", shuffled)))
    assert [name for name, _ in found] == NAMES
    assert np.array_equal([ink for _, ink in found], INK)


def test_digest_is_of_paths_and_pixels_however_they_are_packed(tmp_path):
    whole = digest(packed(tmp_path / "whole.zip", MEMBERS))
    bare = {name.removeprefix("images_background/"): content for name, content in MEMBERS.items()}
    grey = {name: png(ink, "L") for name, ink in zip(reversed(bare), reversed(INK), strict=True)}
    more = MEMBERS | {"images_background/": b"", "__MACOSX/images_background/._x.png": b"x"}
    assert digest(packed(tmp_path / "bare.zip", bare)) == whole
    assert digest(packed(tmp_path / "grey.zip", grey, zipfile.ZIP_STORED)) == whole
    assert digest(packed(tmp_path / "more.zip", more)) == whole


def test_digest_sees_a_pixel_a_name_and_a_missing_drawing(tmp_path):
    first = next(iter(MEMBERS))
    ink = INK[0].copy()
    ink[50, 50] ^= True
    renamed = {name.replace("Latin", "Roman"): content for name, content in MEMBERS.items()}
    missing = {name: content for name, content in MEMBERS.items() if name != first}
    others = [MEMBERS | {first: png(ink)}, renamed, missing]
    found = {digest(packed(tmp_path / f"{i}.zip", m)) for i, m in enumerate([MEMBERS, *others])}
    assert len(found) == 4


def test_pixel_is_the_share_of_ink_in_its_area():
    fine = INK.repeat(4, 1).repeat(4, 2)  # 420 = 28 * 15 to a side: no pixel is cut
    shares = fine.reshape(6, 28, 15, 28, 15).sum((2, 4)) / 225
    assert np.array_equal(shrink(INK), np.floor(255 * shares + 0.5))
    assert shrink(np.ones((1, 105, 105), bool)).min() == 255
    assert shrink(np.zeros((1, 105, 105), bool)).max() == 0


def test_each_pixel_of_a_drawing_counts_whole():
    assert overlaps().sum(0).tolist() == [4] * 105
    assert overlaps().sum(1).tolist() == [15] * 28


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no png", "is not a readable PNG"),
        (png(INK[0])[:60], "is not a readable PNG"),
        (b"", "is not a readable PNG"),
        (png(np.zeros((105, 104), bool)), "is 104x105, not 105x105"),
        (bytes(10_001), "unpacks to 10001 bytes"),
    ],
)
def test_wrong_drawing_is_named_with_the_reason(tmp_path, content, reason):
    name = list(MEMBERS)[2]
    path = packed(tmp_path / "wrong.zip", MEMBERS | {name: content})
    with pytest.raises(ValueError) as caught:
        digest(path)
    assert name in str(caught.value) and reason in str(caught.value)
    with pytest.raises(AebayesError) as caught:
        read_archive(path)
    assert str(path) in caught.value.problem and reason in caught.value.problem


@pytest.mark.parametrize(
    ("side", "reason"),
    [(5_000, "is 5000x5000, not 105x105"), (30_000, "could be decompression bomb")],
)
def test_huge_png_is_refused_by_its_header(tmp_path, side, reason):
    header = b"IHDR" + struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum
    content += struct.pack(">I", 10) + b"IDAT" + bytes(14)
    path = packed(tmp_path / "huge.zip", {next(iter(MEMBERS)): content})
    with pytest.raises(ValueError, match=reason):
        digest(path)


def test_decompression_bomb_is_not_unpacked(tmp_path):
    path = packed(tmp_path / "bomb.zip", {next(iter(MEMBERS)): bytes(50_000_000)})
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to 50000000 bytes"):
        digest(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_member_longer_than_the_archive_says_is_refused(tmp_path):
    path = packed(tmp_path / "liar.zip", {next(iter(MEMBERS)): bytes(50_000_000)})
    said = (50_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(said, (500).to_bytes(4, "little")))
    with pytest.raises(ValueError, match="is not a readable PNG"):
        digest(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"images_background/readme.txt": b"none"}, "it has no drawings"),
        ({"../Greek/character01/0001_01.png": png(INK[0])}, "it has no drawings"),
        (MEMBERS | {f"{NAMES[0]}.png": png(INK[0])}, f"it has {NAMES[0]} twice"),
    ],
)
def test_wrong_layout_is_refused(tmp_path, members, reason):
    with pytest.raises(ValueError, match=reason):
        digest(packed(tmp_path / "wrong.zip", members))


@pytest.mark.parametrize("kept", [0, 20, 500, -1])
def test_truncated_archive_is_refused(tmp_path, kept):
    path = packed(tmp_path / "cut.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="not a zip archive"):
        digest(path)


def test_missing_archive_is_named(tmp_path):
    with pytest.raises(AebayesError, match=r"absent\.zip: No such file"):
        read_archive(tmp_path / "absent.zip")


def test_test_split_has_a_quarter_of_each_character_and_classes_are_alphabets():
    names = [f"{alphabet}/character{c:02d}/0001_{d:02d}" for alphabet in "ABC" for c in range(8)
             for d in range(20)]  # fmt: skip
    images = np.arange(480, dtype=np.uint16).view(np.uint8).reshape(480, 1, 2)
    splits = split(names, images, 12)
    where = {images[i, None].tobytes(): name for i, name in enumerate(names)}
    chosen = {part: [where[image.tobytes()] for image in x] for part, (x, _) in splits.items()}
    assert sorted(chosen["train"] + chosen["validation"] + chosen["test"]) == names
    assert [len(chosen[part]) for part in SPLITS] == [348, 12, 120]
    characters = [name.rpartition("/")[0] for name in chosen["test"]]
    assert Counter(characters) == dict.fromkeys(characters, 5)
    assert np.bincount(splits["validation"][1]).tolist() == [4, 4, 4]
    for part, (_, alphabets) in splits.items():
        assert ["ABC"[i] for i in alphabets] == [name[0] for name in chosen[part]]


@pytest.mark.parametrize("folder", ["omniglot_drawings", "omniglot"])
def test_mirrors_may_hold_the_archives_under_either_name(tmp_path, monkeypatch, folder):
    paths = [packed(tmp_path / "mirror" / folder / name, MEMBERS) for name in ARCHIVES]
    recipe = DATASETS["omniglot_drawings"]
    files = tuple(replace(file, expected=digest(paths[0])) for file in recipe.files)
    monkeypatch.setitem(DATASETS, "omniglot_drawings", replace(recipe, files=files))
    fetched = fetch("omniglot_drawings", tmp_path / "raw", [str(tmp_path / "mirror")])
    assert fetched == [tmp_path / "raw" / "omniglot_drawings" / name for name in ARCHIVES]
    assert fetched[0].read_bytes() == paths[0].read_bytes()


def test_wrong_archive_of_a_mirror_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "mirror" / "omniglot" / ARCHIVES[0]
    packed(path, MEMBERS)
    with pytest.raises(AebayesError, match=r"omniglot/images_background\.zip: wrong content, hash"):
        fetch("omniglot_drawings", tmp_path / "raw", [str(tmp_path / "mirror")])
    path.write_bytes(b"<html>")
    with pytest.raises(AebayesError, match=r"background\.zip: wrong content: not a zip archive"):
        fetch("omniglot_drawings", tmp_path / "raw", [str(tmp_path / "mirror")])


def test_real_drawings_give_the_same_bytes_everywhere(mirror, tmp_path):
    fetch("omniglot_drawings", tmp_path / "raw", [str(mirror)])
    npz, card = tmp_path / "omniglot_drawings.npz", tmp_path / "omniglot_drawings.json"
    prepare("omniglot_drawings", tmp_path / "raw", npz, card)
    assert sha256(npz) == "6f2bb7dc7d9051bacae58730384317598012e698262c2733f0e866b19a0bab12"
    dataset = load(npz)
    assert [len(dataset.split(part)[0]) for part in SPLITS] == [23_379, 1_000, 8_081]
    for part in SPLITS:
        images, alphabets = dataset.split(part)
        assert len(np.unique(alphabets)) == 50
        assert 0.075 < images.mean() / omniglot_drawings.RECIPE.scale < 0.085
