"""SVHN and the Toronto Face Database, from made-up files of their form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from aebayes.config import load_study
from aebayes.data import svhn, tfd
from aebayes.data.dataset import Dataset
from aebayes.data.fetch import fetch
from aebayes.errors import AebayesError
from aebayes.settings import with_steps
from aebayes.training.loop import Interruptions
from aebayes.training.run import make_trainer

GENERATOR = np.random.default_rng(0)
STREETS = GENERATOR.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
DIGITS = np.arange(60) % 10
FACES = GENERATOR.integers(0, 256, (40, 48, 48), dtype=np.uint8)
FOLDS = np.stack([np.roll(np.repeat([0, 1, 2, 3], 10), shift) for shift in range(5)], 1)


def street_file(path: Path, **changes: np.ndarray) -> Path:
    content = {
        "X": STREETS.transpose(2, 3, 1, 0),
        "y": np.where(DIGITS == 0, 10, DIGITS)[:, None].astype(np.uint8),
    }
    savemat(path, content | changes)
    return path


def face_file(path: Path, **changes: np.ndarray) -> Path:
    savemat(path, {"images": FACES, "folds": FOLDS.astype(np.uint8)} | changes)
    return path


def test_street_numbers_stand_upright_in_colour_with_ten_for_zero(tmp_path):
    images, digits = svhn.read_file(street_file(tmp_path / "train_32x32.mat"))
    assert images.dtype == np.uint8 and digits.dtype == np.int64
    assert np.array_equal(images, STREETS)
    assert np.array_equal(digits, DIGITS)
    splits = svhn.split((images, digits), (images[:7], digits[:7]), 10)
    assert [len(splits[part][1]) for part in ("train", "validation", "test")] == [50, 10, 7]
    assert np.bincount(splits["validation"][1]).tolist() == [1] * 10


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"X": np.zeros((32, 32, 60), np.uint8)}, "X is uint8 (32, 32, 60), expected numbers"),
        ({"X": STREETS.transpose(2, 3, 1, 0) / 255}, "X is float64, expected uint8"),
        ({"y": np.zeros((59, 1))}, "y is float64 (59, 1), expected numbers (60, 1)"),
        ({"y": np.zeros((60, 1))}, "y has digits outside 1 .. 10"),
    ],
)
def test_other_street_arrays_are_refused_by_name(tmp_path, changes, reason):
    with pytest.raises(AebayesError) as caught:
        svhn.read_file(street_file(tmp_path / "train_32x32.mat", **changes))
    assert "train_32x32.mat is not a file of SVHN" in caught.value.problem
    assert reason in caught.value.problem


def test_unlabelled_faces_are_for_training_and_the_folds_test_faces_for_test(tmp_path):
    path = face_file(tmp_path / tfd.NAME)
    splits = tfd.read_file(path, 3)
    assert [len(splits[part][0]) for part in ("train", "validation", "test")] == [7, 3, 10]
    assert np.array_equal(splits["test"][0][:, 0], FACES[30:])
    both = np.concatenate([splits[part][0] for part in ("train", "validation")])
    assert sorted(x.tobytes() for x in both) == sorted(x.tobytes() for x in FACES[:10])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": FACES[:, :40]}, "expected numbers (any, 48, 48)"),
        ({"images": FACES.astype(float)}, "images are float64, expected uint8"),
        ({"folds": FOLDS[:30]}, "folds is int64 (30, 5), expected numbers (40, 5)"),
        ({"folds": FOLDS + 1}, "folds has other numbers than 0 to 3"),
        ({"folds": np.ones_like(FOLDS)}, "no unlabelled or test faces"),
    ],
)
def test_other_faces_are_refused_by_name(tmp_path, changes, reason):
    path = face_file(tmp_path / tfd.NAME, **changes)
    with pytest.raises(AebayesError) as caught:
        tfd.read_file(path, 3)
    assert f"{path} is not the Toronto Face Database" in caught.value.problem
    assert reason in caught.value.problem


def test_a_users_own_file_is_taken_by_its_form_and_nothing_else_is(tmp_path):
    folder = tmp_path / "mirror" / "tfd"
    folder.mkdir(parents=True)
    path = face_file(folder / tfd.NAME)
    assert fetch("tfd", tmp_path / "raw", [str(tmp_path / "mirror")])
    path.write_bytes(b"<html>")
    with pytest.raises(AebayesError, match="no whole MATLAB file"):
        fetch("tfd", tmp_path / "other", [str(tmp_path / "mirror")])
    path.unlink()
    with pytest.raises(AebayesError, match=r"TFD_48x48\.mat: No such file"):
        fetch("tfd", tmp_path / "other", [str(tmp_path / "mirror")])


@pytest.mark.parametrize("name", ["aae-1000-labels-svhn", "nn-1000-labels-svhn"])
def test_the_paper_studys_convolutional_nets_train_on_such_a_file(name, tmp_path):
    """As configured, but for fewer images and uncompiled; every tensor moves."""
    file = svhn.read_file(street_file(tmp_path / "train_32x32.mat"))
    splits = svhn.split(file, file, 10)
    dataset = Dataset("svhn", svhn.RECIPE.shape, 255, 10, "0" * 64, splits)
    experiment = with_steps(load_study("paper").experiment(name), 50)
    experiment["objective"] = experiment["objective"] | {"labelled": 20}
    experiment["training"] |= {"batch": 8, "steps": 2, "log_every": 1, "compile": False}
    resume = tmp_path / "resume"
    trainer = make_trainer(experiment, dataset, [0], torch.device("cpu"), resume, "none")
    before = {key: value.clone() for key, value in trainer.method.state_dict().items()}
    trainer.run(Interruptions())
    after = trainer.method.state_dict()
    assert all(not torch.equal(before[key], after[key]) for key in before)
    means = torch.stack(trainer.history.means)  # (steps, phases and the error, R)
    assert means.isfinite().all() and (means[:, -1] >= 0).all() and (means[:, -1] <= 100).all()
