"""config/published.yaml: complete, checked, and honest about what was read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from aebayes.config import PUBLISHED
from aebayes.errors import AebayesError
from aebayes.tables import TABLES
from aebayes.tables.published import load_published

PER_PIXEL = "reconstruction error, per pixel"
AVB_COLUMNS = ("log-likelihood", "reconstruction error", PER_PIXEL, "ELBO", "KL(q(z), p(z))")
AVB_TABLE_1 = {
    "avb-v1": {
        "VAE": (-1.593, 0.091, 0.091, -1.700, 0.175),
        "AVB": (-1.462, 0.021, 0.021, -1.483, 0.028),
        "optimum": (-1.386, 0, 0, -1.386, 0),
    },
    "avb-published": {
        "VAE": (-1.568, 0.0885, 0.0885, -1.697, 0.165),
        "AVB": (-1.403, 0.0058, 0.0058, -1.421, 0.026),
    },
}

NLL, UNITS, UNITS_2 = (
    "−log p(x), k importance samples",
    "active units",
    "active units, second layer",
)
OBJECTIVES = ("VAE, k = 1", "VAE, k = 5", "VAE, k = 50", "IWAE, k = 5", "IWAE, k = 50")
# −log p(x), and active units by layer, in the order of OBJECTIVES.
IWAE_TABLE_1 = {
    "MNIST, 1 layer": ((86.76, 86.47, 86.35, 85.54, 84.78), (19, 20, 20, 22, 25)),
    "MNIST, 2 layers": (
        (85.33, 85.01, 84.78, 83.89, 82.90),
        (16, 17, 17, 21, 26),
        (5, 5, 5, 5, 7),
    ),
    "OMNIGLOT, 1 layer": ((108.11, 107.62, 107.80, 106.12, 104.67), (28, 28, 28, 34, 41)),
    "OMNIGLOT, 2 layers": (
        (107.58, 106.31, 106.30, 104.79, 103.38),
        (28, 30, 30, 38, 44),
        (4, 5, 5, 6, 7),
    ),
}
IWAE_TABLE_2 = {
    "VAE, k = 1": (86.76, 19),
    "continued as IWAE, k = 50": (84.88, 22),
    "IWAE, k = 50": (84.78, 25),
    "continued as VAE, k = 1": (86.02, 23),
}


@pytest.mark.parametrize("dataset", ["mnist", "omniglot"])
def test_iwae_table_1_is_complete(dataset: str) -> None:
    found = {
        (entry["row"], entry["column"]): entry["value"]
        for entry in load_published().values
        if (entry["paper"], entry["table"], entry["dataset"]) == ("iwae", "Table 1", dataset)
    }
    expected = {
        (f"{cells}, {objective}", column): value
        for cells, numbers in IWAE_TABLE_1.items()
        if cells.startswith(dataset.upper())
        for column, values in zip((NLL, UNITS, UNITS_2), numbers, strict=False)
        for objective, value in zip(OBJECTIVES, values, strict=True)
    }
    if dataset == "mnist":
        expected["VAE, IWAE nets", NLL] = 86.76
    assert found == expected


def test_iwae_table_2_is_complete() -> None:
    values = load_published()
    for row, numbers in IWAE_TABLE_2.items():
        found = [values.find("iwae", row, column, "mnist", "dynamic") for column in (NLL, UNITS)]
        assert tuple(published.value for published in found) == numbers
        assert all("Table 2 (recalled)" in published.source for published in found)


def test_omniglots_values_stand_beside_other_drawings_but_are_not_compared() -> None:
    values = load_published()
    row = "OMNIGLOT, 2 layers, IWAE, k = 50"
    own = values.find("iwae", row, NLL, "omniglot", "dynamic")
    other = values.find("iwae", row, NLL, "omniglot_drawings", "dynamic")
    assert own.value == other.value == 103.38
    assert not own.incomparable
    assert "chardata.mat" in other.incomparable
    assert values.find("iwae", row, NLL, "omniglot_drawings", "none") is None
    assert values.find("iwae", row, NLL, "mnist", "dynamic") is None


def test_no_value_of_iwae_claims_to_have_been_read() -> None:
    entries = [entry for entry in load_published().values if entry["paper"] == "iwae"]
    assert {entry["evidence"] for entry in entries} == {"recalled"}
    assert all(entry["note"] for entry in entries)


@pytest.mark.parametrize(("paper", "evidence"), [("avb-v1", "read"), ("avb-published", "recalled")])
def test_both_versions_of_avb_table_1_are_complete(paper: str, evidence: str) -> None:
    printed = [entry for entry in load_published().values if entry["paper"] == paper]
    entries = [entry for entry in printed if entry["table"] == "Table 1"]
    found = {(entry["row"], entry["column"]): entry["value"] for entry in entries}
    expected = {
        (row, column): value
        for row, numbers in AVB_TABLE_1[paper].items()
        for column, value in zip(AVB_COLUMNS, numbers, strict=True)
    }
    assert found == expected
    assert {entry["evidence"] for entry in entries} == {evidence}


def test_avb_table_2_is_recalled_estimates_apart_from_bounds() -> None:
    entries = [entry for entry in load_published().values if entry["table"] == "Table 2"]
    avb = [entry for entry in entries if entry["paper"] == "avb-published"]
    found = {(entry["row"], entry["column"]): entry["value"] for entry in avb}
    annealed = "log p(x), annealed"
    assert found == {
        ("AVB, z = 8", "ELBO from T"): -83.6,
        ("AVB, z = 8", annealed): -91.2,
        ("AVB + AC, z = 8", "ELBO from T"): -96.3,
        ("AVB + AC, z = 8", annealed): -89.6,
        ("AVB + AC, z = 32", "ELBO from T"): -79.5,
        ("AVB + AC, z = 32", annealed): -80.2,
        ("VAE, z = 8", "ELBO"): -98.1,
        ("VAE, z = 8", annealed): -90.9,
        ("VAE, z = 32", "ELBO"): -87.2,
        ("VAE, z = 32", annealed): -81.9,
    }
    assert all(entry["evidence"] == "recalled" for entry in avb)
    rounded = {entry["column"] for entry in avb if entry.get("approximate")}
    assert rounded == {"ELBO from T"}


def test_values_that_the_paper_rounds_are_marked() -> None:
    values = load_published()
    here = ("four_points", "none")
    assert values.find("avb-v1", "AVB", "ELBO", *here).approximate
    assert not values.find("avb-v1", "VAE", "ELBO", *here).approximate


def test_every_value_stands_beside_a_column_that_exists() -> None:
    columns = {quantity.name for table in TABLES.values() for quantity in table.quantities}
    papers = {paper for table in TABLES.values() for paper in (*table.papers, *table.also)}
    for entry in load_published().values:
        assert entry["column"] in columns
        assert entry["paper"] in papers


def test_a_value_is_found_for_its_own_dataset_only() -> None:
    values = load_published()
    assert values.find("avb-v1", "VAE", "ELBO", "four_points", "none").value == -1.7
    assert values.find("avb-v1", "VAE", "ELBO", "digits", "none") is None
    assert values.find("iwae", "VAE", "ELBO", "four_points", "none") is None


@pytest.mark.parametrize("paper", AVB_TABLE_1)
@pytest.mark.parametrize("row", ["VAE", "AVB"])
def test_printed_reconstruction_errors_fit_their_table_only_per_pixel(paper: str, row: str) -> None:
    values = load_published()
    find = [values.find(paper, row, column, "four_points", "none") for column in AVB_COLUMNS]
    _, as_sum, per_pixel, elbo, prior_kl = find
    most = np.log(4) + prior_kl.value  # mutual information with four points, and KL(q(z), p(z))
    assert as_sum.value == per_pixel.value
    assert -elbo.value - as_sum.value > most
    assert -elbo.value - 4 * per_pixel.value < most
    assert as_sum.incomparable
    assert not per_pixel.incomparable


def test_the_note_on_reconstruction_errors_gives_the_sums() -> None:
    note = load_published().find("avb-v1", "VAE", AVB_COLUMNS[1], "four_points", "none")
    assert "1.700 − 0.091 = 1.609" in note.incomparable
    assert "1.483 − 0.021 = 1.462" in note.incomparable
    bounds = f"{np.log(4) + 0.175:.3f} and {np.log(4) + 0.028:.3f}"
    assert bounds in note.incomparable


def unknown_key(content: dict) -> None:
    content["values"][3]["valeu"] = 1


def text_for_a_number(content: dict) -> None:
    content["values"][3]["value"] = "-1.5"


def unknown_evidence(content: dict) -> None:
    content["values"][3]["evidence"] = "guessed"


def unknown_paper(content: dict) -> None:
    content["values"][3]["paper"] = "avb-v7"


def no_reason(content: dict) -> None:
    content["values"][0]["comparable"] = False


def second_value(content: dict) -> None:
    content["values"].append({**content["values"][3], "value": 0})


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (unknown_key, "valeu"),
        (text_for_a_number, "values.3.value"),
        (unknown_evidence, "guessed"),
        (unknown_paper, "avb-v7"),
        (second_value, "second value"),
        (no_reason, "values.0.note: missing"),
    ],
)
def test_spoilt_entries_are_refused_by_file_and_key(
    spoil: Callable[[dict], None], named: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(PUBLISHED.read_text())
    spoil(content)
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(AebayesError) as caught:
        load_published(path)
    assert str(path) in caught.value.problem
    assert named in caught.value.problem
