from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from aebayes.data import DATASETS, omniglot
from aebayes.data.fetch import fetch
from aebayes.data.omniglot import read_mat
from aebayes.errors import AebayesError
from aebayes.files import md5

TRAIN, TEST, VALIDATION = 60, 20, 10
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (TRAIN + TEST, 28, 28), dtype=np.uint8)
ALPHABETS = np.arange(TRAIN + TEST) % 50


def content() -> dict[str, np.ndarray]:
    """Arrays of the same form as the authors'."""
    columns = IMAGES.transpose(0, 2, 1).reshape(-1, 784).T / 255  # each image column by column
    one_hot = np.eye(50)[:, ALPHABETS]
    return {
        "data": columns[:, :TRAIN],
        "target": one_hot[:, :TRAIN],
        "targetchar": np.ones((1, TRAIN)),
        "testdata": columns[:, TRAIN:],
        "testtarget": one_hot[:, TRAIN:],
        "testtargetchar": np.ones((1, TEST)),
    }


def saved(folder: Path, arrays: dict, compressed: bool = True) -> Path:
    path = folder / "chardata.mat"
    savemat(path, arrays, do_compression=compressed)
    return path


def refusal(path: Path) -> AebayesError:
    with pytest.raises(AebayesError) as caught:
        read_mat(path, TRAIN, TEST, VALIDATION)
    assert str(path) in caught.value.problem
    return caught.value


@pytest.mark.parametrize("compressed", [True, False])
def test_images_stand_upright_with_their_alphabets(tmp_path, compressed):
    splits = read_mat(saved(tmp_path, content(), compressed), TRAIN, TEST, VALIDATION)
    images, alphabets = splits["test"]
    assert images.dtype == np.uint8 and alphabets.dtype == np.int64
    assert images.tolist() == IMAGES[TRAIN:, None].tolist()
    assert alphabets.tolist() == ALPHABETS[TRAIN:].tolist()


def test_validation_is_taken_from_the_training_images_and_each_image_is_in_one_split(tmp_path):
    splits = read_mat(saved(tmp_path, content()), TRAIN, TEST, VALIDATION)
    assert [len(splits[split][1]) for split in ("train", "validation")] == [50, 10]
    both = np.concatenate([splits[split][0] for split in ("train", "validation")])
    assert sorted(image.tobytes() for image in both) == sorted(
        image.tobytes() for image in IMAGES[:TRAIN]
    )
    labelled = {
        image.tobytes(): alphabet for image, alphabet in zip(IMAGES, ALPHABETS, strict=True)
    }
    for images, alphabets in splits.values():
        assert [labelled[image.tobytes()] for image in images] == alphabets.tolist()


def test_intensities_are_rounded_to_the_nearest_of_255(tmp_path):
    arrays = content()
    arrays["testdata"][:4, 0] = (0.499 / 255, 0.501 / 255, 254.6 / 255, 0.5)
    images, _ = read_mat(saved(tmp_path, arrays), TRAIN, TEST, VALIDATION)["test"]
    assert images[0, 0, :4, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("key", ["data", "testdata", "target", "testtarget"])
def test_missing_array_is_named(tmp_path, key):
    arrays = content()
    del arrays[key]
    assert f"it has no {key}" in refusal(saved(tmp_path, arrays)).problem


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("data", np.zeros((784, TRAIN - 1)), "data is float64 (784, 59), expected numbers"),
        ("data", np.zeros((TRAIN, 784)), "data is float64 (60, 784), expected numbers"),
        ("data", np.array([["text"]], object), "data is object"),
        ("data", np.zeros((784, TRAIN), complex), "an array is of complex numbers"),
        ("data", np.full((784, TRAIN), 1.1), "data has values outside 0 .. 1"),
        ("testdata", np.full((784, TEST), -0.1), "testdata has values outside 0 .. 1"),
        ("testdata", np.full((784, TEST), np.nan), "testdata has values outside 0 .. 1"),
        ("target", np.zeros((50, TRAIN)), "target does not give each image one alphabet"),
        ("target", np.ones((50, TRAIN)), "target does not give each image one alphabet"),
        ("testtarget", np.full((50, TEST), 0.02), "testtarget does not give each image one"),
    ],
)
def test_wrong_array_is_refused_with_the_reason(tmp_path, key, value, reason):
    assert reason in refusal(saved(tmp_path, content() | {key: value})).problem


@pytest.mark.parametrize("kept", [0, 3, 127, 128, 140, 1000, -1000, -1])
@pytest.mark.parametrize("compressed", [True, False])
def test_truncated_file_is_refused(tmp_path, kept, compressed):
    # Without the last array, which is not read and would not be missed.
    arrays = {key: content()[key] for key in ("data", "target", "testdata", "testtarget")}
    path = saved(tmp_path, arrays, compressed)
    path.write_bytes(path.read_bytes()[:kept])
    refusal(path)


@pytest.mark.parametrize("other", [b"<html>not found</html>", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_other_file_is_refused(tmp_path, other):
    (tmp_path / "chardata.mat").write_bytes(other)
    refusal(tmp_path / "chardata.mat")


def test_missing_file_is_named(tmp_path):
    refusal(tmp_path / "chardata.mat")


def test_file_is_verified_before_it_gets_its_name(tmp_path, monkeypatch):
    (tmp_path / "mirror" / "omniglot").mkdir(parents=True)
    path = saved(tmp_path / "mirror" / "omniglot", content())
    with pytest.raises(AebayesError, match="wrong content"):
        fetch("omniglot", tmp_path / "raw", [str(tmp_path / "mirror")])
    assert not (tmp_path / "raw" / "omniglot").exists()
    recipe = DATASETS["omniglot"]
    files = (replace(recipe.files[0], expected=md5(path)),)
    monkeypatch.setitem(DATASETS, "omniglot", replace(recipe, files=files))
    (fetched,) = fetch("omniglot", tmp_path / "raw", [str(tmp_path / "mirror")])
    assert fetched.read_bytes() == path.read_bytes()


def test_md5_of_nothing_is_the_known_one(tmp_path):
    (tmp_path / "empty").touch()
    assert md5(tmp_path / "empty") == "d41d8cd98f00b204e9800998ecf8427e"


def test_size_limit_has_room_for_the_arrays_uncompressed(tmp_path):
    whole = saved(tmp_path, content(), compressed=False).stat().st_size
    limit = omniglot.MOST_BYTES * (TRAIN + TEST) / (omniglot.TRAIN + omniglot.TEST)
    assert whole < limit + 10_000
