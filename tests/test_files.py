import io
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from aebayes import files
from aebayes.errors import AebayesError
from aebayes.files import (
    find_json,
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


def test_mapped_arrays_are_the_same_stay_in_the_file_and_never_change_it(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    arrays = {"large": np.arange(64).reshape(4, 16), "small": np.arange(3), "ä": np.eye(8)}
    write_npz(path, arrays)
    before = path.read_bytes()
    monkeypatch.setattr(files, "MAPPED_FROM", 512)
    back = read_npz(path, mapped=True)
    for name, array in arrays.items():
        assert np.array_equal(back[name], array) and back[name].dtype == array.dtype
        assert isinstance(back[name], np.memmap) == (array.nbytes >= 512)
    back["large"][:] = 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("spoil", ["compressed", "objects", "cut short"])
def test_arrays_that_cannot_be_mapped_end_with_one_clear_error(spoil, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    if spoil == "compressed":
        np.savez_compressed(path, a=np.zeros(1000))
    elif spoil == "objects":
        np.savez(path, a=np.array([{}] * 1000, dtype=object))
    else:
        short = io.BytesIO()
        np.save(short, np.zeros(1000))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", short.getvalue()[:-4000])
            archive.writestr("b.npy", short.getvalue())
    monkeypatch.setattr(files, "MAPPED_FROM", 512)
    with pytest.raises(AebayesError, match="not a readable npz") as caught:
        read_npz(path, mapped=True)
    assert str(path) in caught.value.problem


def test_compressed_arrays_are_refused_unless_asked_for(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(1000))
    with pytest.raises(AebayesError, match=r"not a readable npz: a\.npy is compressed"):
        read_npz(path)
    assert read_npz(path, compressed=True)["a"].shape == (1000,)


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


def test_text_for_an_npz_is_said_to_be_no_zip(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("not found\n")
    with pytest.raises(AebayesError, match="not a readable npz: File is not a zip file"):
        read_npz(path)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_write_removes_what_a_killed_one_left_and_leaves_what_another_is_at(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = [tmp_path / f".a.json.{name}.partial" for name in (ended.pid, os.getpid(), "9" * 30)]
    others = [
        tmp_path / ".a.json.x.partial",
        tmp_path / f".a.json.b.{ended.pid}.partial",
        tmp_path / f".a.json.{os.getppid()}.partial",
        tmp_path / f".b.json.{ended.pid}.partial",
    ]
    for path in left + others:
        path.touch()
    write_json(tmp_path / "a.json", {})
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", *others])


def test_json_takes_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("text", ["{", '{"a": Infinity}', '{"a": NaN}'])
def test_broken_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AebayesError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_hash_of_settings_does_not_depend_on_their_order():
    assert sha256_of({"a": 1, "b": [2, 3]}) == sha256_of({"b": [2, 3], "a": 1})
    assert sha256_of({"a": 1}) != sha256_of({"a": 2})


def member_of(compression):
    """An npz of a thousand zeros, by zipfile's compression."""
    buffer, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(1000))
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("a.npy", array.getvalue())
    return buffer.getvalue()


def spoilt_stream():
    """Deflated bytes that are no deflate stream."""
    content = bytearray(member_of(zipfile.ZIP_DEFLATED))
    content[35:45] = b"\xff" * 10  # behind the header of 30 bytes and the name of five
    return bytes(content)


def spoilt_lzma():
    """The same under LZMA."""
    content = bytearray(member_of(zipfile.ZIP_LZMA))
    content[35:60] = b"\xff" * 25
    return bytes(content)


def unknown_compression():
    """A compression that no zipfile knows, in both places that name it."""
    content = bytearray(member_of(zipfile.ZIP_STORED))
    for header, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(header) + at] = 99
    return bytes(content)


def plain_npy():
    """One array and no archive."""
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def text_for_an_array():
    """An archive whose member is no array."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.npy", "text")
    return content.getvalue()


@pytest.mark.parametrize(
    "spoil", [spoilt_stream, spoilt_lzma, unknown_compression, plain_npy, text_for_an_array]
)
def test_npz_of_any_other_form_ends_with_one_clear_error(spoil, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(spoil())
    with pytest.raises(AebayesError, match="not a readable npz") as caught:
        read_npz(path)
    assert str(path) in caught.value.problem
    assert "delete it" in caught.value.remedy


@pytest.mark.parametrize("read", [read_json, find_json, read_npz])
def test_a_folder_in_the_place_of_a_file_is_named(read, tmp_path):
    with pytest.raises(AebayesError, match="cannot read") as caught:
        read(tmp_path)
    assert str(tmp_path) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("read", [read_json, find_json, read_npz])
def test_a_file_that_may_not_be_read_is_named(read, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(AebayesError, match="Permission denied") as caught:
        read(tmp_path / "a")
    assert str(tmp_path / "a") in caught.value.problem


@pytest.mark.parametrize("content", ["[1]", "null", "3", '"text"'])
def test_json_that_is_no_object_is_named(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(content)
    for read in (read_json, find_json):
        with pytest.raises(AebayesError, match=r"a\.json holds a JSON \w+, expected an object"):
            read(path)


def test_missing_files_are_named_or_none(tmp_path):
    for read in (read_json, read_npz):
        with pytest.raises(AebayesError, match="a is missing"):
            read(tmp_path / "a")
    assert find_json(tmp_path / "a") is None
