import numpy as np
import pytest

from aebayes.data.idx import read_idx
from aebayes.errors import AebayesError

HEADER = bytes.fromhex("00000802 00000002 00000003")


def test_values_and_shape_are_read_in_order(tmp_path):
    path = tmp_path / "whole"
    path.write_bytes(HEADER + bytes(range(6)))
    values = read_idx(path)
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "starts with nothing"),
        (HEADER[:3], "starts with 000008"),
        (b"\x1f\x8b\x08\x00" + HEADER, "starts with 1f8b0800"),
        (bytes.fromhex("00000d01 00000001 00000000"), "starts with 00000d01"),
        (bytes.fromhex("00000800 05"), "starts with 00000800"),
        (HEADER[:9], "ends within its header of 12 bytes"),
        (HEADER + bytes(5), "needs 6 values, the file has 5"),
        (HEADER + bytes(7), "needs 6 values, the file has 7"),
        (bytes.fromhex("00000803" + "ffffffff" * 3) + bytes(9), f"needs {(2**32 - 1) ** 3} values"),
        (bytes.fromhex("000008ff") + bytes(100), "ends within its header of 1024 bytes"),
    ],
)
def test_hostile_file_ends_with_one_clear_error(tmp_path, content, reason):
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with pytest.raises(AebayesError) as caught:
        read_idx(path)
    assert str(path) in caught.value.problem
    assert reason in caught.value.problem


def test_missing_file_is_named(tmp_path):
    with pytest.raises(AebayesError, match="absent"):
        read_idx(tmp_path / "absent")
