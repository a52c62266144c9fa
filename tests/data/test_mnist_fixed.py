import numpy as np
import pytest

from aebayes.data import DATASETS, mnist_fixed
from aebayes.data.mnist_fixed import LINE, read_amat
from aebayes.data.recipe import SPLITS
from aebayes.errors import AebayesError


def amat(images: np.ndarray) -> bytes:
    """The lines of binary images (N, 784), as the original files have them."""
    return "".join(" ".join(map(str, image)) + "\n" for image in images.tolist()).encode()


IMAGES = np.random.default_rng(0).integers(0, 2, (5, 784))
WHOLE = amat(IMAGES)


def refusal(path, content: bytes) -> AebayesError:
    path.write_bytes(content)
    with pytest.raises(AebayesError) as caught:
        read_amat(path, len(IMAGES))
    assert str(path) in caught.value.problem
    return caught.value


def test_each_line_is_an_image_row_by_row(tmp_path):
    (tmp_path / "whole.amat").write_bytes(WHOLE)
    images = read_amat(tmp_path / "whole.amat", 5)
    assert images.dtype == np.uint8
    assert images.tolist() == IMAGES.reshape(5, 1, 28, 28).tolist()


def changed(byte: int, to: bytes) -> bytes:
    """The third line's byte changed."""
    place = 2 * LINE + byte
    return WHOLE[:place] + to + WHOLE[place + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        changed(0, b"2"),
        changed(100, b"/"),
        changed(100, b" "),
        changed(101, b"1"),
        changed(101, b"\n"),
        changed(LINE - 1, b" "),
        changed(100, b""),
        changed(100, b"10"),
        changed(100, b"\xff"),
    ],
)
def test_wrong_line_is_named_by_its_number(tmp_path, content):
    assert "line 3 is not 784 digits" in refusal(tmp_path / "wrong.amat", content).problem


@pytest.mark.parametrize("content", [b"", WHOLE[:-1], WHOLE[:-LINE], WHOLE + WHOLE[:LINE]])
def test_file_of_another_length_is_refused(tmp_path, content):
    problem = refusal(tmp_path / "wrong.amat", content).problem
    assert f"5 lines are {5 * LINE} bytes, the file has {len(content)}" in problem


def test_missing_file_is_named(tmp_path):
    with pytest.raises(AebayesError, match="absent"):
        read_amat(tmp_path / "absent", 1)


def test_splits_are_the_three_files_without_labels(tmp_path, monkeypatch):
    counts = {"train": 5, "validation": 2, "test": 3}
    monkeypatch.setattr(mnist_fixed, "COUNTS", counts)
    for split, file in mnist_fixed.FILES.items():
        (tmp_path / file.name).write_bytes(amat(IMAGES[: counts[split]]))
    splits = mnist_fixed.read(tmp_path)
    for split in SPLITS:
        images, labels = splits[split]
        assert images.reshape(-1, 784).tolist() == IMAGES[: counts[split]].tolist()
        assert labels.dtype == np.int64 and not labels.any()


def test_promised_sizes_are_those_of_whole_lines():
    sizes = [file.size for file in DATASETS["mnist_fixed"].files]
    assert sizes == [78_400_000, 15_680_000, 15_680_000]  # as published beside the hashes
