"""AAE's Tables 2 and 3, and its low-dimensional representations, beside the published errors."""

from collections.abc import Callable
from pathlib import Path

from cells import cells_of

from aebayes.tables.aae import BASELINE
from aebayes.tables.aae_classes import NO_CLUSTERS, OTHERS, TABLE_2, TABLE_3, UNTOLD
from aebayes.tables.published import load_published

ERROR = "error rate"


def test_errors_stand_beside_the_papers_own(
    study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    error = {"unit": "%", "replicas": [2.5, 3.5], "mean": 3.0, "sd": 0.7071}
    evaluate("aae-100-labels-mnist", {"error": error})
    cells = cells_of("aae-table-2", study, tmp_path)
    ours = cells["100 labels, AAE", ERROR]
    assert (ours["mean"], ours["published"], ours["published_sd"]) == ("3", "1.9", "0.1")
    assert ours["unit"] == "%"
    assert cells["100 labels, Ladder", ERROR]["published"] == "1.06"
    assert cells["100 labels, Ladder", ERROR]["status"] == f"not run: {BASELINE}"
    assert cells["SVHN, 1000 labels, VAT", ERROR]["published"] == "24.63"
    text = (tmp_path / "tables" / "aae-table-2.md").read_text()
    assert "3.00 ± 0.71" in text
    assert "error rate of each replica: 100 labels, AAE 2.50, 3.50\n" in text
    assert "1.90 ± 0.10" in text


def test_clusters_are_measured_as_partitions_too(study, evaluate, tmp_path) -> None:
    one = {"replicas": [0.9], "mean": 0.9, "sd": None}
    metrics = {
        "error": {"unit": "%", "replicas": [9.0], "mean": 9.0, "sd": None, "standard_error": [0.3]},
        "adjusted_rand": {"unit": "1", **one},
        "mutual_information": {"unit": "1", **one},
    }
    evaluate("aae-16-clusters-mnist", metrics)
    cells = cells_of("aae-table-3", study, tmp_path)
    assert cells["AAE, 16 clusters", ERROR]["published"] == "9.55"
    assert cells["AAE, 16 clusters", "adjusted Rand index"]["mean"] == "0.9"
    assert cells["AAE, 16 clusters", "purity"]["status"] == f"not run: {NO_CLUSTERS}"
    assert cells["CatGAN, 20 clusters", ERROR]["published"] == "9.7"


def test_what_settings_can_be_chosen_by_stands_beside_the_error(study, evaluate, tmp_path) -> None:
    numbers = {"unit": "%", "replicas": [4.0, 6.0], "mean": 5.0, "sd": 1.41}
    evaluate("aae-100-labels-mnist", {"error": numbers, "disagreement": numbers})
    cells = cells_of("aae-selection", study, tmp_path)
    assert cells["100 labels, AAE", "disagreement"]["mean"] == "5"
    few = cells["100 labels, AAE", "error of few validation images"]
    assert few["status"] == f"not run: {UNTOLD}"
    assert not any(cell["published"] for cell in cells.values())


def test_representations_are_told_apart_by_dimension_and_labels(study, evaluate, tmp_path) -> None:
    error = {"unit": "%", "replicas": [5.0], "mean": 5.0, "sd": None}
    evaluate("aae-plane-1000-labels-mnist", {"error": error})
    cells = cells_of("aae-dimensionality", study, tmp_path)
    assert cells["2-D, 1000 labels", ERROR]["published"] == "4.2"
    assert cells["2-D, 20 clusters", ERROR]["published"] == "13.95"


def test_every_published_error_stands_in_a_row_and_no_quoted_row_is_empty() -> None:
    values = load_published()
    ours = {f"{labels}, {method}" for labels in OTHERS for method in ("NN", "VAE (M2)", "AAE")}
    quoted = {row.label for row in TABLE_2.quoted}
    published = {entry["row"] for entry in values.of("aae", ERROR) if entry["table"] == "Table 2"}
    assert published <= ours | quoted
    assert quoted <= published
    assert {row.label for row in TABLE_3.quoted} <= {
        entry["row"] for entry in values.of("aae", ERROR)
    }
