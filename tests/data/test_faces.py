"""LFWcrop, the Frey faces and CelebA: who stands in which split, and what is refused."""

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aebayes.data import DATASETS, celeba, freyfaces, lfwcrop
from aebayes.data.dataset import load
from aebayes.data.fetch import fetch
from aebayes.data.prepare import prepare
from aebayes.data.recipe import SPLITS
from aebayes.errors import AebayesError
from aebayes.files import write_npz

GENERATOR = np.random.default_rng(0)
PERSONS = [f"Person_{number:02d}" for number in range(40)]
NAMES = [f"{person}_{n:04d}" for i, person in enumerate(PERSONS) for n in range(1, 2 + i % 3)]
FACES = GENERATOR.integers(0, 256, (len(NAMES), 64, 64), dtype=np.uint8)


def encoded(face: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, kind)
    return buffer.getvalue()


def members(folder: str = "faces", kind: str = "PNG") -> dict[str, bytes]:
    suffix = {"PNG": "png", "PPM": "pgm"}[kind]
    return {
        f"{folder}/{name}.{suffix}": encoded(face, kind)
        for name, face in zip(NAMES, FACES, strict=True)
    }


def packed(path: Path, content: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in content.items():
            archive.writestr(name, member)
    return path


def test_nobody_is_in_two_splits_and_every_face_is_in_one(tmp_path):
    packed(tmp_path / lfwcrop.NAME, members())
    splits = lfwcrop.read(tmp_path)
    where = {face.tobytes(): name for face, name in zip(FACES, NAMES, strict=True)}
    found = {part: [where[x.tobytes()] for x in splits[part][0]] for part in SPLITS}
    assert sorted(name for names in found.values() for name in names) == sorted(NAMES)
    people = {part: {name[:-5] for name in names} for part, names in found.items()}
    assert [len(people[part]) for part in SPLITS] == [32, 4, 4]
    assert Counter(each for some in people.values() for each in some).most_common(1)[0][1] == 1
    assert all(names == sorted(names) for names in found.values())


def test_published_pgm_and_mirrored_png_have_one_digest_and_a_pixel_changes_it(tmp_path):
    one = lfwcrop.digest(packed(tmp_path / "png.zip", members()))
    pgm = members("lfwcrop_grey/faces", "PPM") | {"lfwcrop_grey/readme.txt": b"x"}
    assert lfwcrop.digest(packed(tmp_path / "pgm.zip", pgm)) == one
    face = FACES[0].copy()
    face[3, 4] ^= 1
    other = members() | {f"faces/{NAMES[0]}.png": encoded(face, "PNG")}
    assert lfwcrop.digest(packed(tmp_path / "other.zip", other)) != one


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"other/x.png": b""}, "it has no faces faces/PERSON_0001.png"),
        ({f"faces/{NAMES[0]}.png": encoded(FACES[0, :32], "PNG")}, "is 64x32, not 64x64"),
        ({f"faces/{NAMES[0]}.png": b"none"}, "is not a readable PNG or PPM"),
        ({f"faces/{NAMES[0]}.png": bytes(20_001)}, "unpacks to 20001 bytes"),
    ],
)
def test_wrong_archive_is_named_with_the_reason(tmp_path, content, reason):
    packed(tmp_path / lfwcrop.NAME, content)
    with pytest.raises(AebayesError) as caught:
        lfwcrop.read(tmp_path)
    assert lfwcrop.NAME in caught.value.problem and reason in caught.value.problem


def photographs(archive: celeba.Archive, count: int) -> dict[str, bytes]:
    """Faces of one colour each, in no order."""
    width, height = archive.faces.size
    numbers = GENERATOR.permuted(np.arange(count))
    frames = {n: np.full((height, width, 3), (5 * n, 100, 50), np.uint8) for n in numbers}
    return {f"celebA/{n + 1:06d}.jpg": encoded(frame, "JPEG") for n, frame in frames.items()}


@pytest.mark.parametrize(
    ("archive", "side"), [(celeba.ALL, 64), (celeba.FIRST, 32), (celeba.FIRST, 64)]
)
def test_celeba_faces_are_split_in_the_order_of_their_numbers_with_their_colours(
    tmp_path, archive, side
):
    packed(tmp_path / archive.file.name, photographs(archive, 20))
    splits = celeba.read(tmp_path, replace(archive, counts=(14, 2, 4)), side)
    faces = np.concatenate([splits[part][0] for part in SPLITS])
    assert [len(splits[part][0]) for part in SPLITS] == [14, 2, 4]
    assert faces.shape == (20, 3, side, side)
    expected = np.stack([5 * np.arange(20), np.full(20, 100), np.full(20, 50)], 1)
    assert np.abs(faces.mean((2, 3)) - expected).max() < 4  # a JPEG's colours are not exact


@pytest.mark.parametrize(("archive", "top", "left"), [(celeba.ALL, 35, 15), (celeba.FIRST, 17, 7)])
def test_celeba_crop_is_the_centre_averaged(archive, top, left):
    width, height = archive.faces.size
    bottom, right = top + archive.kept, left + archive.kept
    levels = np.zeros((height, width, 3), np.uint8)
    levels[:, : left + archive.kept // 2] = 200  # the left half of the centre
    levels[:top] = levels[bottom:] = levels[:, :left] = levels[:, right:] = 90
    face = celeba.crop(levels, archive.kept, 64)
    assert face.shape == (3, 64, 64)
    assert (face[:, :, :32] == 200).all()
    assert (face[:, :, 32:] == 0).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (photographs(celeba.FIRST, 3), "it has 3 faces, expected 10000"),
        ({"celebA/000001.jpg": encoded(FACES[0], "JPEG")}, "is 64x64, not 89x109"),
        ({"celebA/000001.jpg": bytes(50_001)}, "unpacks to 50001 bytes"),
        ({"celebA/1.jpg": b""}, "it has no faces NNNNNN.jpg"),
    ],
)
def test_wrong_archive_of_celeba_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / celeba.FIRST.file.name
    packed(path, content)
    with pytest.raises(AebayesError) as caught:
        celeba.read(tmp_path, celeba.FIRST, 64)
    assert str(path) in caught.value.problem and reason in caught.value.problem


def test_frames_keep_their_order_and_the_last_are_for_test(tmp_path):
    frames = GENERATOR.integers(0, 256, (1965, 28, 20), dtype=np.uint8)
    write_npz(tmp_path / freyfaces.NAME, {"images": frames})
    splits = freyfaces.read(tmp_path)
    assert [len(splits[part][0]) for part in SPLITS] == [1565, 200, 200]
    assert np.array_equal(np.concatenate([splits[part][0] for part in SPLITS])[:, 0], frames)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"faces": np.zeros(3, np.uint8)}, "no array images"),
        ({"images": np.zeros((1965, 28, 20), np.int16)}, "int16"),
        ({"images": np.zeros((1964, 28, 20), np.uint8)}, "(1964, 28, 20)"),
    ],
)
def test_other_arrays_than_the_frames_are_refused(tmp_path, arrays, reason):
    write_npz(tmp_path / freyfaces.NAME, arrays)
    with pytest.raises(AebayesError) as caught:
        freyfaces.read(tmp_path)
    assert reason in caught.value.problem


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("lfwcrop", [10_396, 1_169, 1_668]),
        ("freyfaces", [1_565, 200, 200]),
        ("celeba_10k_32", [8_000, 1_000, 1_000]),
    ],
)
def test_real_files_of_a_mirror_are_prepared_with_the_counts_of_their_card(tmp_path, name, counts):
    mirror = Path(__file__).resolve().parents[3] / "shared" / "data"
    folders = (name, DATASETS[name].shared_folder or name)
    if not any((mirror / folder).is_dir() for folder in folders):
        pytest.skip(f"no mirror of {name} beside the project")
    fetch(name, tmp_path / "raw", [str(mirror)])
    prepare(name, tmp_path / "raw", tmp_path / f"{name}.npz", tmp_path / f"{name}.json")
    dataset = load(tmp_path / f"{name}.npz")
    assert [len(dataset.split(part)[0]) for part in SPLITS] == counts
    told = " / ".join(f"{count:,}" for count in counts)
    assert DATASETS[name].split.startswith(told)
