"""Tables: every cell says what it holds, or why it holds nothing."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.tables import TABLES, inputs, make_table

POSTERIOR_KL = "KL(q(z|x), p(z|x))"


def cells_of(name: str, study: Study, folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Make a table; its CSV by row and column."""
    make_table(name, study, folder / "runs", folder / "tables")
    with (folder / "tables" / f"{name}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    cells = {(line["row"], line["column"]): line for line in lines}
    assert len(cells) == len(lines)
    return cells


@pytest.mark.usefixtures("four_points")
def test_csv_has_the_promised_columns_and_a_line_for_every_cell(
    study: Study, tmp_path: Path
) -> None:
    cells = cells_of("avb-table-1", study, tmp_path)
    header = (tmp_path / "tables" / "avb-table-1.csv").read_text().splitlines()[0]
    assert header == ("table,row,column,unit,mean,sd,replicas,published,published_sd,source,status")
    rows = ("VAE", "AVB", "AAE", "optimum")
    columns = [quantity.name for quantity in TABLES["avb-table-1"].quantities]
    assert list(cells) == [(row, column) for row in rows for column in columns]
    for cell in cells.values():
        ran = cell["status"] == "run"
        assert ran == bool(cell["mean"])
        assert ran or re.fullmatch("not run: .+", cell["status"])
        assert bool(cell["published"]) == bool(cell["source"])


@pytest.mark.usefixtures("four_points")
def test_csv_gives_six_digits_beside_the_first_versions_value(study: Study, tmp_path: Path) -> None:
    cell = cells_of("avb-table-1", study, tmp_path)["AVB", "log-likelihood"]
    assert cell == {
        "table": "avb-table-1",
        "row": "AVB",
        "column": "log-likelihood",
        "unit": "nats/image",
        "mean": "-1.41235",
        "sd": "0.002",
        "replicas": "2",
        "published": "-1.462",
        "published_sd": "",
        "source": "AVB, arXiv:1701.04722v1, Table 1 (read)",
        "status": "run",
    }


@pytest.mark.usefixtures("four_points")
def test_excess_over_avb_is_the_difference_and_its_variance_the_sum(
    study: Study, tmp_path: Path
) -> None:
    cells = cells_of("avb-table-1", study, tmp_path)
    excess = f"{POSTERIOR_KL}, excess over AVB"
    assert float(cells["VAE", excess]["mean"]) == pytest.approx(0.16 - 0.07)
    assert float(cells["VAE", excess]["sd"]) == pytest.approx(0.05)
    assert cells["AVB", excess]["status"] == "not run: AVB is what the others are compared with"
    assert cells["AAE", excess]["status"] == "not run: not finite: q(z|x) has no density"


@pytest.mark.usefixtures("four_points")
def test_what_a_method_cannot_have_says_why(study: Study, tmp_path: Path) -> None:
    cells = cells_of("avb-table-1", study, tmp_path)
    assert cells["VAE", "ELBO from T"]["status"].startswith("not run: only AVB has a T(x, z)")
    assert cells["AAE", POSTERIOR_KL]["status"] == "not run: not finite: q(z|x) has no density"
    assert cells["optimum", "log-likelihood"]["status"].startswith("not run: exact by theory")
    assert cells["optimum", "log-likelihood"]["published"] == "-1.386"


@pytest.mark.usefixtures("four_points")
def test_missing_run_says_so_in_all_its_cells_and_leaves_the_others(
    study: Study, tmp_path: Path
) -> None:
    before = cells_of("avb-table-1", study, tmp_path)
    missing = tmp_path / "runs" / "vae" / "metrics.json"
    missing.unlink()
    cells = cells_of("avb-table-1", study, tmp_path)
    for (row, column), cell in cells.items():
        if row == "VAE":
            assert cell["status"] == f"not run: {missing} is missing"
            assert cell["published"] == before[row, column]["published"]
        else:
            assert cell == before[row, column]
    assert f"] {missing} is missing" in (tmp_path / "tables" / "avb-table-1.md").read_text()


@pytest.mark.usefixtures("four_points")
def test_excess_needs_avbs_run(study: Study, tmp_path: Path) -> None:
    missing = tmp_path / "runs" / "avb" / "metrics.json"
    missing.unlink()
    cells = cells_of("avb-table-1", study, tmp_path)
    excess = cells["VAE", f"{POSTERIOR_KL}, excess over AVB"]
    assert excess["status"] == f"not run: {missing} is missing"


@pytest.mark.usefixtures("four_points")
def test_markdown_sets_ours_beside_the_published_with_the_difference(
    study: Study, tmp_path: Path
) -> None:
    cells_of("avb-table-1", study, tmp_path)
    text = (tmp_path / "tables" / "avb-table-1.md").read_text()
    assert "| −1.5800 ± 0.0100 (published −1.593, difference +0.013) |" in text
    assert "(published ≈ 0.175, difference −0.175)" in text
    assert "mean ± sd over 2 replicas" in text
    assert "nats/image" in text
    assert "recalled), log-likelihood: VAE −1.568, AVB −1.403" in text
    assert "ELBO from T*: E_q[log p(x|z) − T(x, z)], an estimate and not a bound" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in rows} == {5}
    assert all(cell.strip() for row in rows[1:] for cell in row)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.usefixtures("four_points")
def test_tex_is_ascii_with_even_rows_and_closed_groups(
    name: str, study: Study, tmp_path: Path
) -> None:
    cells_of(name, study, tmp_path)
    text = (tmp_path / "tables" / f"{name}.tex").read_text()
    assert text.isascii()
    assert not re.search(r"\\\\\s*\[", text)  # LaTeX would read a length there
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert {"toprule", "midrule", "bottomrule"} <= set(re.findall(r"\\(\w+)", text))


def test_published_mnist_value_stands_beside_the_papers_own_nets_only(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    nll = {"unit": "nats/image", "replicas": [87.0], "mean": 87.0, "sd": None}
    evaluate("vae-mnist", {"nll": nll})
    study.content["tables"]["image-likelihoods"]["experiments"]["VAE, our nets"] = "vae-mnist"
    column = "−log p(x), k importance samples"
    cells = cells_of("image-likelihoods", study, tmp_path)
    assert cells["VAE, IWAE nets", column]["published"] == "86.76"
    assert cells["VAE, our nets", column]["published"] == ""
    assert cells["VAE, our nets", column]["status"] == "run"
    assert cells["VAE, our nets", column]["sd"] == ""
    assert "with 5000 importance" in (tmp_path / "tables" / "image-likelihoods.md").read_text()
    study.content["datasets"]["mnist"]["binarisation"] = "none"
    cells = cells_of("image-likelihoods", study, tmp_path)
    assert cells["VAE, IWAE nets", column]["published"] == ""


@pytest.mark.parametrize(
    "facts",
    [
        {"experiment": "aae"},
        {"dataset": "digits"},
        {"evaluation": {"kind": "exact", "grid": 51, "codes": 100}},
        {"metrics": {"elbo": 1.0}},
        {"metrics": None},
    ],
)
@pytest.mark.usefixtures("four_points")
def test_metrics_of_another_run_or_form_are_refused_by_name(
    facts: dict, study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    path = evaluate("vae", **{"metrics": {}, **facts})
    with pytest.raises(AebayesError, match=re.escape(str(path))) as caught:
        cells_of("avb-table-1", study, tmp_path)
    assert "python -m aebayes evaluate vae" in caught.value.remedy
    assert not (tmp_path / "tables").exists()


@pytest.mark.usefixtures("four_points")
def test_truncated_metrics_end_with_one_clear_error(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "avb" / "metrics.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(AebayesError, match=re.escape(str(path))):
        cells_of("avb-table-1", study, tmp_path)


def test_unknown_tables_are_named_with_the_known_ones(study: Study, tmp_path: Path) -> None:
    with pytest.raises(AebayesError, match="'avb-table-9'") as caught:
        make_table("avb-table-9", study, tmp_path, tmp_path)
    assert "avb-table-1" in caught.value.remedy
    del study.content["tables"]["image-likelihoods"]
    with pytest.raises(AebayesError, match="has no table 'image-likelihoods'"):
        inputs("image-likelihoods", study)


def test_inputs_are_the_tables_experiments_once_each(study: Study) -> None:
    study.content["tables"]["avb-table-1"]["experiments"]["AVB again"] = "avb"
    assert inputs("avb-table-1", study) == ["vae", "avb", "aae"]
