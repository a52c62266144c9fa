"""IWAE's tables: a line an experiment, the published beside it, and what a switch changed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import cells_of

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.labels import common_parts
from aebayes.tables.render import markdown_line

NLL = "−log p(x), k importance samples"
PRUNED = "−log p(x) without the inactive units"
SECOND = "active units, second layer"
VAE, DEEP, DRAWN = (
    "MNIST, 1 layer, VAE, k = 1",
    "MNIST, 2 layers, IWAE, k = 50",
    "OMNIGLOT, 1 layer, VAE, k = 1",
)


def metric(*replicas: float, sd: float | None = None, **more: object) -> dict:
    """A metric of these replicas as metrics.json holds it."""
    mean = sum(replicas) / len(replicas)
    return {"unit": "nats/image", "replicas": list(replicas), "mean": mean, "sd": sd, **more}


@pytest.fixture
def evaluated(evaluate: Callable[..., Path]) -> None:
    """Metrics of the IWAE's runs: three replicas, then one of each."""
    evaluate(
        "vae-1-mnist",
        {
            "nll": metric(86.0, 87.0, 88.0, sd=1.0, standard_error=[0.2, 0.2, 0.2]),
            "active_units": metric(18, 19, 19, sd=0.57735),
            "nll_pruned": metric(86.0, 87.0, 88.5, sd=1.25),
        },
    )
    evaluate(
        "vae-1-then-iwae-50-mnist",
        {
            "nll": metric(84.0, 85.1, 85.9, sd=0.95, standard_error=[0.2, 0.2, 0.2]),
            "active_units": metric(22, 23, 23, sd=0.57735),
        },
    )
    evaluate(
        "iwae-50-mnist-2l",
        {
            "nll": metric(83.4, standard_error=[0.24]),
            "active_units": metric(27),
            "active_units_2": metric(6),
            "nll_pruned": metric(83.41),
        },
    )
    evaluate(
        "vae-1-omniglot",
        {"nll": metric(105.2, standard_error=[0.3]), "active_units": metric(30)},
    )


def lines_of(name: str, folder: Path) -> dict[str, list[str]]:
    """The Markdown's lines, by label; the head's is empty."""
    text = (folder / "tables" / f"{name}.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.usefixtures("evaluated")
def test_table_has_a_line_an_experiment_with_the_published_value_beside_ours(
    study: Study, tmp_path: Path
) -> None:
    cells_of("iwae-table-1", study, tmp_path)
    lines = lines_of("iwae-table-1", tmp_path)
    printed = "published (difference)"
    assert lines[""] == [NLL, printed, "active units", printed, SECOND, printed, PRUNED]
    note = "not run [1]"
    assert lines[VAE] == [
        *("87.00 ± 1.00", "86.76 (+0.24)", "18.7 ± 0.6", "19 (0)"),
        *(note, "", "87.17 ± 1.25"),
    ]
    assert lines[DEEP] == [
        *("83.40 (s.e. 0.24)", "82.90 (+0.50)", "27", "26 (+1)", "6", "7 (−1)"),
        "83.41",
    ]


@pytest.mark.usefixtures("evaluated")
def test_other_drawings_stand_beside_the_published_value_without_a_difference(
    study: Study, tmp_path: Path
) -> None:
    cells = cells_of("iwae-table-1", study, tmp_path)
    line = lines_of("iwae-table-1", tmp_path)[DRAWN]
    number = re.fullmatch(r"108\.11 \[(\d)\]", line[1]).group(1)
    assert line[3] == f"28 [{number}]"
    text = (tmp_path / "tables" / "iwae-table-1.md").read_text()
    assert f"[{number}] of the authors' own 28x28 images" in text
    assert cells[DRAWN, NLL]["published"] == "108.11"
    assert cells[DRAWN, NLL]["source"].endswith("Table 1 (recalled), on omniglot")
    assert cells[VAE, NLL]["source"].endswith("Table 1 (recalled)")


@pytest.mark.usefixtures("evaluated")
def test_caption_says_which_lines_are_of_which_dataset(study: Study, tmp_path: Path) -> None:
    cells_of("iwae-table-1", study, tmp_path)
    text = (tmp_path / "tables" / "iwae-table-1.md").read_text()
    assert "mnist, dynamic binarisation (MNIST); " in text
    assert f"omniglot_drawings, dynamic binarisation ({DRAWN})" in text
    assert "mean ± sd over 1 or 3 replicas" in text
    assert "s.e.: standard error of a replica, over test images" in text
    assert "measured on the first 1000 test images" in text


@pytest.mark.usefixtures("evaluated")
def test_columns_of_published_values_are_left_out_where_there_are_none(
    study: Study, tmp_path: Path
) -> None:
    study.content["datasets"]["mnist"]["binarisation"] = "none"
    study.content["tables"]["iwae-table-1"]["experiments"].pop(DRAWN)
    cells_of("iwae-table-1", study, tmp_path)
    lines = lines_of("iwae-table-1", tmp_path)
    assert lines[""] == [NLL, "active units", SECOND, PRUNED]
    latex = (tmp_path / "tables" / "iwae-table-1.tex").read_text()
    assert r"\begin{tabular}{lrrrr}" in latex
    assert "published" not in latex


@pytest.mark.usefixtures("evaluated")
def test_latex_sets_the_same_cells_in_the_same_order(study: Study, tmp_path: Path) -> None:
    cells_of("iwae-table-1", study, tmp_path)
    latex = (tmp_path / "tables" / "iwae-table-1.tex").read_text()
    assert r"\begin{tabular}{lrrrrrrr}" in latex
    ours = r"87.00 $\pm$ 1.00 & 86.76 (+0.24) & 18.7 $\pm$ 0.6 & 19 (0) & not run [1] &  & "
    assert f"{VAE} & {ours}" in latex


@pytest.mark.usefixtures("evaluated")
def test_what_a_model_cannot_have_says_why(study: Study, tmp_path: Path) -> None:
    cells = cells_of("iwae-table-1", study, tmp_path)
    assert cells[VAE, SECOND]["status"] == "not run: the model has one stochastic layer"
    assert cells[DRAWN, PRUNED]["status"].startswith("not run: evaluation.pruned_images")


@pytest.mark.usefixtures("evaluated")
def test_a_switchs_change_is_taken_replica_by_replica(study: Study, tmp_path: Path) -> None:
    cells = cells_of("iwae-table-2", study, tmp_path)
    change = cells["continued as IWAE, k = 50", "change of −log p(x)"]
    assert float(change["mean"]) == pytest.approx(-2.0)
    assert float(change["sd"]) == pytest.approx(0.1)  # of −2.0, −1.9 and −2.1, not of 1 and 0.95
    line = lines_of("iwae-table-2", tmp_path)["continued as IWAE, k = 50"]
    assert line[0] == "85.00 ± 0.95"
    assert line[1:3] == ["84.88 (+0.12)", "−2.00 ± 0.10"]
    assert line[5] == "+4.0 ± 0.0"
    before = cells["VAE, k = 1", "change of −log p(x)"]
    assert before["status"] == "not run: it goes on from no other run"
    assert cells["VAE, k = 1", NLL]["published"] == "86.76"


@pytest.mark.usefixtures("evaluated")
def test_a_change_without_its_beginning_says_so(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    key = "continued as IWAE, k = 50", "change of −log p(x)"
    evaluate("vae-1-mnist", {"nll": metric(86.0, 87.0)})
    cells = cells_of("iwae-table-2", study, tmp_path)
    assert cells[key]["status"] == "not run: vae-1-mnist has another number of replicas"
    assert cells[key[0], "change of active units"]["status"].startswith("not run: ")
    missing = tmp_path / "runs" / "vae-1-mnist" / "metrics.json"
    missing.unlink()
    assert cells_of("iwae-table-2", study, tmp_path)[key]["status"].endswith("has not been run")
    study.content["tables"]["iwae-table-2"]["experiments"].pop("VAE, k = 1")
    cells = cells_of("iwae-table-2", study, tmp_path)
    assert cells[key]["status"] == "not run: the table has no vae-1-mnist to compare with"


@pytest.mark.parametrize("errors", [0.2, [0.2], ["0.2", 0.2], [True, 0.2], None])
def test_standard_errors_that_are_no_numbers_are_refused(
    errors: object, study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    path = evaluate("vae-1-mnist", {"nll": metric(86.0, 87.0, standard_error=errors)})
    with pytest.raises(AebayesError, match=re.escape(f"{path}: metric nll: ")):
        cells_of("iwae-table-1", study, tmp_path)


@pytest.mark.parametrize(
    ("labels", "common"),
    [
        (["MNIST, VAE, k = 1", "MNIST, VAE, k = 5"], "MNIST, VAE"),
        (["MNIST, VAE", "MNIST"], "MNIST"),
        (["MNIST, VAE", "MNIST 2, VAE"], ""),
        (["VAE", "AAE"], ""),
    ],
)
def test_labels_have_whole_parts_in_common(labels: list[str], common: str) -> None:
    assert common_parts(labels) == common


def test_a_bar_within_a_cell_does_not_end_it() -> None:
    assert markdown_line(["p(z|x)", "", "1"]) == r"| p(z\|x) | | 1 |"
