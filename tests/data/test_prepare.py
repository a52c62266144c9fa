import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aebayes.data import DATASETS
from aebayes.data.dataset import Dataset, load
from aebayes.data.fetch import fetch
from aebayes.data.prepare import prepare
from aebayes.data.recipe import SPLITS
from aebayes.errors import AebayesError
from aebayes.files import read_npz, sha256


def made(name: str, folder: Path, raw: Path = Path("no raw files")) -> Dataset:
    prepare(name, raw, folder / f"{name}.npz", folder / f"{name}.json")
    return load(folder / f"{name}.npz")


def images(dataset: Dataset, split: str) -> list[bytes]:
    return [image.tobytes() for image in dataset.split(split)[0]]


@pytest.fixture(scope="module")
def mnist(mnist_mirror, tmp_path_factory) -> Path:
    """A folder with the real MNIST, fetched from the mirror and prepared."""
    folder = tmp_path_factory.mktemp("mnist")
    fetch("mnist", folder / "raw", [str(mnist_mirror)])
    prepare("mnist", folder / "raw", folder / "mnist.npz", folder / "mnist.json")
    return folder


def test_four_points_are_one_hot_and_the_same_in_every_split(tmp_path):
    dataset = made("four_points", tmp_path)
    for split in SPLITS:
        x, y = dataset.split(split)
        assert x.reshape(4, 4).tolist() == np.eye(4).tolist()
        assert y.tolist() == [0, 1, 2, 3]
    assert (dataset.shape, dataset.scale, dataset.classes) == ((1, 2, 2), 1, 4)


def test_digits_are_scikit_learns_each_in_one_split(tmp_path):
    from sklearn.datasets import load_digits

    dataset = made("digits", tmp_path)
    assert [len(dataset.split(split)[0]) for split in SPLITS] == [1197, 300, 300]
    ours = Counter(
        (image, int(label))
        for split in SPLITS
        for image, label in zip(images(dataset, split), dataset.split(split)[1], strict=True)
    )
    theirs = load_digits()
    assert ours == Counter(
        (image.astype(np.uint8).tobytes(), int(label))
        for image, label in zip(theirs.images, theirs.target, strict=True)
    )


def test_digits_splits_have_the_classes_of_the_whole(tmp_path):
    dataset = made("digits", tmp_path)
    counts = {split: np.bincount(dataset.split(split)[1]) for split in SPLITS}
    whole = sum(counts.values())
    for split, count in counts.items():
        assert np.all(np.abs(count - whole * count.sum() / 1797) < 2), split


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", "5acfe04f44ade848fec8c56e6d4a5af5a6b600b4fb4baa848e5fedb4d166d577"),
        ("two_modes", "32fb86e82f0547e7179ff753664c46270ac0305884be937ae51ad58f74dc4536"),
    ],
)
def test_dataset_is_the_same_bytes_everywhere(tmp_path, name, expected):
    made(name, tmp_path)
    assert sha256(tmp_path / f"{name}.npz") == expected


@pytest.mark.parametrize("name", ["four_points", "digits"])
def test_preparing_twice_gives_identical_bytes(name, tmp_path):
    made(name, tmp_path / "first")
    made(name, tmp_path / "second")
    for kind in ("npz", "json"):
        first, second = (tmp_path / part / f"{name}.{kind}" for part in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_card_says_what_is_in_the_npz(tiny, tmp_path):
    fetch("tiny", tmp_path / "raw", [str(tiny.fill(tmp_path / "mirror"))])
    made("tiny", tmp_path, tmp_path / "raw")
    card = json.loads((tmp_path / "tiny.json").read_text())
    arrays = read_npz(tmp_path / "tiny.npz")
    assert list(arrays) == [f"{split}_{key}" for split in SPLITS for key in "xy"]
    assert card["sha256"] == sha256(tmp_path / "tiny.npz")
    assert card["range"] == [arrays["train_x"].min(), arrays["train_x"].max()]
    assert card["counts"] == {"train": 5, "validation": 5, "test": 5}
    assert card["raw"] == {
        path.name: sha256(path) for path in sorted((tmp_path / "raw" / "tiny").iterdir())
    }
    assert (card["shape"], card["scale"], card["classes"]) == ([1, 2, 3], 255, 3)
    assert all(card[key] for key in ("name", "split", "source", "licence"))


@pytest.mark.parametrize("damage", ["missing", "wrong"])
def test_raw_file_missing_or_wrong_is_named_with_the_remedy(tiny, tmp_path, damage):
    path = fetch("tiny", tmp_path / "raw", [str(tiny.fill(tmp_path / "mirror"))])[0]
    path.unlink() if damage == "missing" else path.write_bytes(b"wrong")
    with pytest.raises(AebayesError) as caught:
        made("tiny", tmp_path, tmp_path / "raw")
    assert str(path) in caught.value.problem
    assert "python -m aebayes fetch tiny" in caught.value.remedy
    assert not (tmp_path / "tiny.npz").exists()


def test_labels_that_do_not_match_the_images_are_refused(tmp_path, monkeypatch):
    recipe = DATASETS["four_points"]

    def short(folder: Path) -> dict:
        return {split: (x, y[:-1]) for split, (x, y) in recipe.read(folder).items()}

    monkeypatch.setitem(DATASETS, "four_points", replace(recipe, read=short))
    with pytest.raises(AebayesError, match="train of four_points"):
        made("four_points", tmp_path)


def test_unknown_dataset_cannot_be_prepared(tmp_path):
    with pytest.raises(AebayesError, match="unknown dataset 'nope'"):
        made("nope", tmp_path)


def test_mnist_splits_have_the_promised_sizes_and_every_image_once(mnist):
    dataset = load(mnist / "mnist.npz")
    assert [len(dataset.split(split)[0]) for split in SPLITS] == [59_000, 1_000, 10_000]
    raw = (mnist / "raw" / "mnist" / "train-images-idx3-ubyte").read_bytes()[16:]
    training_file = Counter(raw[start : start + 784] for start in range(0, len(raw), 784))
    assert Counter(images(dataset, "train") + images(dataset, "validation")) == training_file
    test_file = (mnist / "raw" / "mnist" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert b"".join(images(dataset, "test")) == test_file


def test_mnist_validation_has_the_classes_of_the_training_file(mnist):
    dataset = load(mnist / "mnist.npz")
    train, validation = (np.bincount(dataset.split(split)[1]) for split in SPLITS[:2])
    assert np.all(np.abs(validation - (train + validation) / 60) < 1)
    labels = (mnist / "raw" / "mnist" / "t10k-labels-idx1-ubyte").read_bytes()[8:]
    assert dataset.split("test")[1].tolist() == list(labels)


def test_mnist_is_the_same_bytes_everywhere(mnist):
    assert (
        sha256(mnist / "mnist.npz")
        == "b3ff7345b3c3dc53e9f3b2c4aeb2ff5be5417d7a8d27586f5378eb02a20c61de"
    )
