import os

import numpy as np
import pytest

from aebayes.errors import AebayesError
from aebayes.files import (
    read_json,
    read_npz,
    replacing,
    sha256_of,
    write_json,
    write_npz,
    write_text,
)


def test_equal_arrays_are_equal_bytes(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.float32(1.5)}
    for name in ("one", "two"):
        write_npz(tmp_path / name, arrays)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = read_npz(tmp_path / "one")
    assert np.array_equal(back["a"], arrays["a"])
    assert back["b"] == np.float32(1.5)


def test_arrays_of_objects_are_never_written_nor_read(tmp_path):
    with pytest.raises(AebayesError, match="holds objects"):
        write_npz(tmp_path / "a.npz", {"a": np.array([{}])})
    np.savez(tmp_path / "b.npz", a=np.array([{}], dtype=object))
    with pytest.raises(AebayesError, match="not a readable npz"):
        read_npz(tmp_path / "b.npz")


def test_truncated_npz_ends_with_one_clear_error(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AebayesError, match="not a readable npz"):
        read_npz(path)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_takes_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(AebayesError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_hash_of_settings_does_not_depend_on_their_order():
    assert sha256_of({"a": 1, "b": [2, 3]}) == sha256_of({"b": [2, 3], "a": 1})
    assert sha256_of({"a": 1}) != sha256_of({"a": 2})
