import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aebayes import files
from aebayes.data.dataset import load
from aebayes.data.prepare import prepare
from aebayes.errors import AebayesError
from aebayes.files import read_npz, sha256, write_json, write_npz
from aebayes.streams import Streams
from aebayes.training.batches import Batches


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """The four points, prepared."""
    path = tmp_path / "four_points.npz"
    prepare("four_points", tmp_path / "raw", path, path.with_suffix(".json"))
    return path


def change(npz: Path, **arrays: np.ndarray | None) -> None:
    """Put arrays into the npz, or take them out, and make the card agree with the result."""
    content = {**read_npz(npz), **arrays}
    write_npz(npz, {name: array for name, array in content.items() if array is not None})
    change_card(npz, sha256=sha256(npz))


def change_card(npz: Path, **facts: object) -> None:
    card = npz.with_suffix(".json")
    write_json(card, {**json.loads(card.read_text()), **facts})


def failure(*arguments: Path) -> str:
    with pytest.raises(AebayesError) as caught:
        load(*arguments)
    assert caught.value.remedy
    return caught.value.problem


def test_loading_gives_what_the_card_says(npz):
    dataset = load(npz, npz.with_suffix(".json"))
    assert (dataset.name, dataset.shape, dataset.scale, dataset.classes) == (
        "four_points",
        (1, 2, 2),
        1,
        4,
    )
    assert dataset.sha256 == sha256(npz)
    x, y = dataset.split("test")
    assert (x.dtype, x.shape, y.dtype, y.shape) == (np.uint8, (4, 1, 2, 2), np.int64, (4,))


def test_a_large_dataset_stays_in_its_file_and_trains_from_there(npz, monkeypatch):
    whole = load(npz)
    monkeypatch.setattr(files, "MAPPED_FROM", 1)
    mapped = load(npz)
    batches = []
    for dataset in (whole, mapped):
        images, classes = (torch.from_numpy(part) for part in dataset.split("train"))
        streams = Streams(0, [0], "training")
        batches.append(Batches(images.flatten(1), classes, dataset.scale, 4, False, streams))
    assert isinstance(mapped.split("train")[0], np.memmap)
    assert batches[1].x.data_ptr() == mapped.split("train")[0].ctypes.data  # no copy
    assert torch.equal(batches[0].next().x, batches[1].next().x)


def test_unknown_split_is_told_the_known_ones(npz):
    with pytest.raises(AebayesError, match="train, validation, test"):
        load(npz).split("dev")


def test_one_changed_byte_is_noticed(npz):
    content = bytearray(npz.read_bytes())
    content[len(content) // 2] ^= 1
    npz.write_bytes(content)
    problem = failure(npz)
    assert str(npz) in problem and "SHA-256" in problem


def test_truncated_npz_is_noticed(npz):
    npz.write_bytes(npz.read_bytes()[:-100])
    assert str(npz) in failure(npz)


def test_file_that_is_no_npz_is_refused_even_if_the_card_agrees(npz):
    npz.write_bytes(b"not an archive")
    change_card(npz, sha256=sha256(npz))
    assert "not a readable npz" in failure(npz)


@pytest.mark.parametrize("key", ["train_x", "validation_y", "test_x"])
def test_missing_array_is_named(npz, key):
    change(npz, **{key: None})
    assert key in failure(npz)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"test_x": np.zeros((4, 1, 2, 2))}, "float64 images"),
        ({"test_x": np.zeros((4, 4), np.uint8)}, "(4, 4)"),
        ({"test_x": np.zeros((4, 1, 2, 3), np.uint8)}, "(4, 1, 2, 3)"),
        ({"test_x": np.full((4, 1, 2, 2), 2, np.uint8)}, "intensity 2 is above the scale"),
        ({"test_y": np.arange(3)}, "classes (3,)"),
        ({"test_y": np.arange(4.0)}, "float64 classes"),
        ({"test_y": np.arange(4) + 1}, "classes 1 .. 4"),
        ({"test_y": np.arange(4) - 1}, "classes -1 .. 2"),
        ({"test_x": np.zeros((0, 1, 2, 2), np.uint8), "test_y": np.arange(0)}, "no images"),
    ],
)
def test_wrong_type_shape_or_range_is_named_with_its_split(npz, arrays, named):
    change(npz, **arrays)
    problem = failure(npz)
    assert problem.startswith(f"test of {npz}: ")
    assert named in problem


def test_missing_npz_and_missing_card_are_named(npz):
    card = npz.with_suffix(".json")
    assert str(npz.with_name("absent.npz")) in failure(npz.with_name("absent.npz"), card)
    card.unlink()
    assert str(card) in failure(npz)


@pytest.mark.parametrize("content", ["[]", "{", '{"name": "four_points"}'])
def test_file_that_is_no_card_is_named(npz, content):
    npz.with_suffix(".json").write_text(content)
    assert str(npz.with_suffix(".json")) in failure(npz)
