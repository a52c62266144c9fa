"""When something made again is the same, and when it is not."""

import numpy as np
import pytest
from PIL import Image

from aebayes.audit.again import (
    different_cell,
    different_metric,
    different_pixels,
    different_words,
)
from aebayes.files import write_json

HEAD = "table,row,column,mean\n"


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ("t,VAE,ELBO,-1.5\n", None),
        ("t,VAE,ELBO,-1.5000000000001\n", None),
        ("t,VAE,ELBO,-1.50001\n", "VAE, ELBO: mean is '-1.5' here and '-1.50001' made again"),
        ("t,VAE,ELBO,\n", "VAE, ELBO: mean is '-1.5' here and '' made again"),
        ("t,AVB,ELBO,-1.5\n", "AVB, ELBO: row is 'VAE' here and 'AVB' made again"),
        ("", "it has another number of cells"),
    ],
)
def test_tables_are_compared_cell_by_cell(tmp_path, again, said):
    (tmp_path / "here").write_text(f"{HEAD}t,VAE,ELBO,-1.5\n")
    (tmp_path / "again").write_text(HEAD + again)
    assert different_cell(tmp_path / "here", tmp_path / "again") == said


@pytest.mark.parametrize(
    ("again", "differs"),
    [
        ("| VAE [2] | 9.95 ± 0.10 |", False),
        ("| VAE [2] | 9.96 ± 0.10 |", False),
        ("| VAE [2] | 9.97 ± 0.10 |", True),
        ("| VAE [2] | 9.9 ± 0.10 |", True),
        ("| VAE [3] | 9.95 ± 0.10 |", True),
        ("| AVB [2] | 9.95 ± 0.10 |", True),
        ("| VAE [2] | 9.95 |", True),
        ("| VAE [2] |  ± 0.10 |", True),
    ],
)
def test_a_printed_table_may_differ_by_how_numbers_were_rounded(tmp_path, again, differs):
    before = "**t**\n| VAE [2] | 9.95 ± 0.10 |\n"
    (tmp_path / "here").write_text(before, encoding="utf-8")
    (tmp_path / "again").write_text(f"**t**\n{again}\n", encoding="utf-8")
    found = different_words(tmp_path / "here", tmp_path / "again")
    if differs:
        assert found == f"line 2 is '| VAE [2] | 9.95 ± 0.10 |' here and '{again}' made again"
    else:
        assert found is None
    (tmp_path / "again").write_text(before + "more", encoding="utf-8")
    longer = different_words(tmp_path / "here", tmp_path / "again")
    assert longer == "it has another number of lines"


@pytest.mark.parametrize(
    ("levels", "size", "differ"), [(0, 8, False), (1, 8, False), (2, 8, True), (0, 9, True)]
)
def test_pictures_may_differ_by_a_level(tmp_path, levels, size, differ):
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(tmp_path / "here.png")
    Image.fromarray(np.full((8, size), 100 + levels, np.uint8)).save(tmp_path / "again.png")
    found = different_pixels(tmp_path / "here.png", tmp_path / "again.png")
    assert (found is not None) == differ


def metrics(path, value, **spread):
    entry = {"replicas": [value, 5.0], "mean": value, "sd": None} | spread
    write_json(path, {"metrics": {"nll": entry}})
    return path


@pytest.mark.parametrize(
    ("spread", "by", "differ"),
    [
        ({"standard_error": [0.2, 0.2]}, 0.019, False),
        ({"standard_error": [0.2, 0.2]}, 0.021, True),
        ({"sd": 1.0}, 0.09, False),
        ({"sd": 1.0}, 0.11, True),
        ({"sd": 1.0, "standard_error": [0.2, 0.2]}, 0.09, True),
        ({}, 0.09, False),  # of 100
        ({}, 0.11, True),
    ],
)
def test_metrics_may_differ_by_a_tenth_of_their_spread(tmp_path, spread, by, differ):
    here = metrics(tmp_path / "here.json", 100.0, **spread)
    again = metrics(tmp_path / "again.json", 100.0 + by, **spread)
    found = different_metric(here, again)
    assert (found is not None) == differ
    assert found is None or found.startswith("nll of replica 0")


def test_value_that_is_no_longer_finite_is_a_difference(tmp_path):
    here = metrics(tmp_path / "here.json", 100.0)
    again = metrics(tmp_path / "again.json", None)
    assert different_metric(here, again) is not None
    assert different_metric(again, again) is None
