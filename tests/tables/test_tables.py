"""Tables: every cell says what it holds, or why it holds nothing."""

import copy
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from cells import cells_of

from aebayes.config import Study, load_study
from aebayes.errors import AebayesError
from aebayes.files import read_json, write_json, write_text
from aebayes.tables import TABLES, inputs, make_table

POSTERIOR_KL = "KL(q(z|x), p(z|x))"


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
def test_the_theory_is_that_of_the_four_points(study: Study, tmp_path: Path) -> None:
    content = study.content | {"experiments": dict(study.content["experiments"])}
    rows = study.tables["avb-table-1"]["experiments"]
    for name in rows.values():
        content["experiments"][name] = content["experiments"][name] | {"dataset": "mnist"}
        (tmp_path / "runs" / name / "metrics.json").unlink()
    other = Study(study.path, study.name, content)
    assert {row for row, _ in cells_of("avb-table-1", other, tmp_path)} == set(rows)


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
            assert cell["status"] == "not run: vae has not been run"
            assert cell["published"] == before[row, column]["published"]
        else:
            assert cell == before[row, column]
    assert "] vae has not been run" in (tmp_path / "tables" / "avb-table-1.md").read_text()
    write_json(missing.with_name("training.json"), {})
    cell = cells_of("avb-table-1", study, tmp_path)["VAE", "ELBO"]
    assert cell["status"] == "not run: vae has not been evaluated"


@pytest.mark.usefixtures("four_points")
def test_excess_needs_avbs_run(study: Study, tmp_path: Path) -> None:
    missing = tmp_path / "runs" / "avb" / "metrics.json"
    missing.unlink()
    cells = cells_of("avb-table-1", study, tmp_path)
    excess = cells["VAE", f"{POSTERIOR_KL}, excess over AVB"]
    assert excess["status"] == "not run: avb has not been run"


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


def test_avb_table_2_keeps_estimates_apart_and_says_how_log_p_was_annealed(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    evaluation = study.content["experiments"]["vae-mnist"]["evaluation"]
    evaluation["annealing"] = {"images": 200, "chains": 8, "temperatures": 300}
    annealed = {"unit": "nats/image", "replicas": [-90.0], "mean": -90.0, "sd": None}
    evaluate("vae-mnist", {"annealed": annealed})
    cells = cells_of("avb-table-2", study, tmp_path)
    assert cells["VAE, z = 8", "log p(x), annealed"]["mean"] == "-90"
    assert cells["VAE, z = 8", "log p(x), annealed"]["published"] == "-90.9"
    assert cells["VAE, z = 8", "ELBO"]["published"] == "-98.1"
    assert cells["VAE, z = 8", "ELBO from T"]["published"] == ""
    text = (tmp_path / "tables" / "avb-table-2.md").read_text()
    assert "of the first 200 test images, 8 chains each and 300 temperatures" in text


def test_faces_are_set_beside_no_published_value(study: Study, tmp_path: Path) -> None:
    row = "VAE, z = 8", "log p(x), annealed"  # which the paper has, of MNIST
    assert cells_of("avb-table-2", study, tmp_path)[row]["published"]
    assert not cells_of("avb-faces", study, tmp_path)[row]["published"]


class OneDecoder:
    """A VAE on MNIST, "vae-mnist", and an AVB of the same decoder, "avb-mnist", with one metric."""

    def __init__(self, study: Study, evaluate: Callable[..., Path], folder: Path):
        self.study, self.evaluate, self.folder = study, evaluate, folder
        content = study.content
        content["experiments"]["avb-mnist"] = {
            **copy.deepcopy(content["experiments"]["vae-mnist"]),
            "method": "avb",
        }
        content["tables"]["avb-table-2"]["experiments"]["AVB, z = 8"] = "avb-mnist"

    def write(self, name: str, *images: list[float], data: str = "abc") -> None:
        """Metrics of a run, of values by image for each replica."""
        means = [sum(values) / len(values) for values in images]
        annealed = {
            "unit": "nats/image",
            "replicas": means,
            "mean": sum(means) / len(means),
            "sd": None if len(means) == 1 else statistics.stdev(means),
            "images": list(images),
        }
        self.evaluate(name, {"annealed": annealed}, dataset_sha256=data)

    def above(self, row: str = "AVB, z = 8") -> dict[str, str]:
        """The cell of a row in the CSV."""
        return cells_of("avb-table-2", self.study, self.folder)[row, "above the VAE"]

    def printed(self) -> str:
        """AVB's line of the table for people."""
        self.above()
        text = (self.folder / "tables" / "avb-table-2.md").read_text()
        return next(line for line in text.splitlines() if line.startswith("| AVB, z = 8"))


@pytest.fixture
def one_decoder(study: Study, evaluate: Callable[..., Path], tmp_path: Path) -> OneDecoder:
    """Two runs that can be compared image by image."""
    return OneDecoder(study, evaluate, tmp_path)


def test_a_run_is_above_the_vae_of_its_decoder_image_by_image(one_decoder: OneDecoder) -> None:
    one_decoder.write("vae-mnist", [-80.0, -100.0, -120.0, -90.0])
    one_decoder.write("avb-mnist", [-79.0, -98.0, -117.0])
    cell = one_decoder.above()
    assert float(cell["mean"]) == 2.0  # of 1, 2 and 3, the images that both have seen
    assert cell["unit"] == "nats/image"
    assert "| +2.00 (s.e. 0.58) |" in one_decoder.printed()  # 1/√3, where either's own is 11
    vae = one_decoder.above("VAE, z = 8")["status"]
    assert vae == "not run: this VAE is what the others are compared with"


def test_above_the_vae_goes_replica_by_replica(one_decoder: OneDecoder) -> None:
    one_decoder.write("vae-mnist", [-80.0, -90.0], [-60.0, -70.0])
    one_decoder.write("avb-mnist", [-79.0, -87.0], [-59.0, -69.0])
    assert "| +1.50 ± 0.71 |" in one_decoder.printed()  # of 2 and 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder": {"hidden": [31]}}, "the table has no VAE of the same decoder to compare with"),
        ({"latent": 32}, "the table has no VAE of the same decoder to compare with"),
        ({"seed": 2}, "vae-mnist was evaluated on other images"),
        ({"data": "abd"}, "vae-mnist was evaluated on other images"),
        ({"replicas": 2}, "vae-mnist has another number of replicas"),
        ({"images": None}, "evaluated when images' own values were not kept"),
    ],
)
def test_what_cannot_be_compared_image_by_image_says_why(
    change: dict, reason: str, one_decoder: OneDecoder
) -> None:
    settings = one_decoder.study.content["experiments"]["avb-mnist"]
    for part in ("model", "training"):
        settings[part] |= {key: change[key] for key in change.keys() & settings[part].keys()}
    one_decoder.write("vae-mnist", [-80.0, -90.0])
    values = [[-80.0, -89.0]] * change.get("replicas", 1)
    one_decoder.write("avb-mnist", *values, data=change.get("data", "abc"))
    if "images" in change:
        path = one_decoder.folder / "runs" / "avb-mnist" / "metrics.json"
        content = read_json(path)
        del content["metrics"]["annealed"]["images"]
        write_json(path, content)
    assert one_decoder.above()["status"] == f"not run: {reason}"


@pytest.mark.parametrize(
    "facts",
    [
        {"experiment": "aae"},
        {"dataset": "digits"},
        {"evaluation": {"kind": "exact", "grid": 51, "codes": 100}},
        {"metrics": {"elbo": 1.0}},
        {"metrics": None},
        {"metrics": [1]},
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


GOOD = {"unit": "nats/image", "replicas": [1.0, 2.0], "mean": 1.5, "sd": 0.7}


@pytest.mark.parametrize(
    "broken",
    [
        {"mean": "1.5"},
        {"mean": True},
        {"mean": None},
        {"mean": [1.5]},
        {"sd": "0.7"},
        {"sd": False},
        {"replicas": []},
        {"replicas": "12"},
        {"replicas": [1.0, "2.0"]},
        {"replicas": [True, 2.0]},
        {"replicas": [1.0, None]},
        {"replicas": None},
        {"images": 1},
        {"images": [[1.0, 2.0]]},
        {"images": [[1.0, 2.0], [1.0]]},
        {"images": [[1.0], [True]]},
        {"images": [[1.0], [None]]},
        {"images": [[], []]},
    ],
)
@pytest.mark.usefixtures("four_points")
def test_metrics_that_are_no_numbers_are_refused_by_file_and_name(
    broken: dict, study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    path = evaluate("vae", {"log_likelihood": GOOD, "elbo": {**GOOD, **broken}})
    with pytest.raises(AebayesError, match=re.escape(f"{path}: metric elbo: ")) as caught:
        cells_of("avb-table-1", study, tmp_path)
    assert "python -m aebayes evaluate vae" in caught.value.remedy
    assert not (tmp_path / "tables").exists()


@pytest.mark.usefixtures("four_points")
def test_metrics_of_infinity_are_refused_by_file_and_name(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "vae" / "metrics.json"
    write_text(path, path.read_text().replace('"mean": -1.58', '"mean": 1e999'))
    with pytest.raises(AebayesError, match="metric log_likelihood: mean is inf"):
        cells_of("avb-table-1", study, tmp_path)


@pytest.mark.usefixtures("four_points")
def test_only_divergences_of_q_lack_a_density(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    infinite = {"unit": "nats/image", "replicas": [None, None], "mean": None, "sd": None}
    names = ("log_likelihood", "reconstruction", "elbo", "prior_kl")
    some = {**infinite, "replicas": [None, 0.1]}
    evaluate("vae", {**dict.fromkeys(names, infinite), "posterior_kl": some})
    cells = cells_of("avb-table-1", study, tmp_path)
    reasons = {column: cell["status"] for (row, column), cell in cells.items() if row == "VAE"}
    for column in ("ELBO", "KL(q(z), p(z))"):
        assert reasons[column] == "not run: not finite: q(z|x) has no density"
    for column in ("log-likelihood", "reconstruction error", POSTERIOR_KL):
        assert reasons[column] == "not run: not finite in this run"


@pytest.mark.usefixtures("four_points")
def test_metrics_of_another_checkpoint_are_refused(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    path = evaluate("vae", {"elbo": GOOD}, checkpoint_sha256="abc")
    training = path.with_name("training.json")
    write_json(training, {"checkpoint_sha256": "abc"})
    assert cells_of("avb-table-1", study, tmp_path)["VAE", "ELBO"]["status"] == "run"
    write_json(training, {"checkpoint_sha256": "abd"})
    with pytest.raises(AebayesError, match="metrics are of another checkpoint") as caught:
        cells_of("avb-table-1", study, tmp_path)
    assert str(path) in caught.value.problem
    assert "python -m aebayes evaluate vae" in caught.value.remedy
    write_text(training, "{")
    with pytest.raises(AebayesError, match=re.escape(f"{training} is not JSON")):
        cells_of("avb-table-1", study, tmp_path)


@pytest.mark.usefixtures("four_points")
def test_the_caption_tells_the_precision_of_training(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    def caption() -> str:
        cells_of("avb-table-1", study, tmp_path)
        return (tmp_path / "tables" / "avb-table-1.md").read_text().splitlines()[0]

    assert "trained" not in caption()  # nothing tells of it
    for name, told in (("vae", {"precision": "float32"}), ("avb", {}), ("aae", {})):
        path = evaluate(name, {"elbo": GOOD}, checkpoint_sha256="abc")
        write_json(path.with_name("training.json"), {"checkpoint_sha256": "abc", **told})
    assert "over 2 replicas, trained in bfloat16, but in float32: VAE." in caption()


@pytest.mark.usefixtures("four_points")
def test_the_caption_tells_which_runs_saw_distorted_images(study: Study, tmp_path: Path) -> None:
    far = {"shift": 0.5, "rotation": 15, "zoom": 0.1}
    study.content["experiments"]["aae"]["objective"]["distortion"] = far
    cells_of("avb-table-1", study, tmp_path)
    caption = (tmp_path / "tables" / "avb-table-1.md").read_text().splitlines()[0]
    assert (
        "Trained on distorted images (turned by up to 15°, zoomed by up to 10%, shifted by up to "
        "0.5 pixels), which the papers' are not: AAE." in caption
    )
    study.content["experiments"]["aae"]["objective"]["two_views"] = True
    cells_of("avb-table-1", study, tmp_path)
    caption = (tmp_path / "tables" / "avb-table-1.md").read_text().splitlines()[0]
    assert "by up to 0.5 pixels, class and style each of a view of its own), which" in caption
    assert "class balance" not in caption and "correlations" not in caption
    study.content["experiments"]["aae"]["objective"]["class_balance"] = 0.1
    study.content["experiments"]["avb"]["objective"]["contrast_correlations"] = True
    cells_of("avb-table-1", study, tmp_path)
    caption = (tmp_path / "tables" / "avb-table-1.md").read_text().splitlines()[0]
    assert "Trained with a class balance, which the papers have not: AAE." in caption
    assert "a Gaussian that has their correlations, too, which the paper's has not: AVB." in caption
    assert r"15$^\circ$" in (tmp_path / "tables" / "avb-table-1.tex").read_text()


@pytest.mark.usefixtures("four_points")
def test_a_folder_in_the_place_of_metrics_is_named(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "vae" / "metrics.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(AebayesError, match=re.escape(f"cannot read {path}")):
        cells_of("avb-table-1", study, tmp_path)


@pytest.mark.usefixtures("four_points")
def test_reconstruction_errors_are_compared_per_pixel_only(study: Study, tmp_path: Path) -> None:
    cells = cells_of("avb-table-1", study, tmp_path)
    for column in ("reconstruction error", "reconstruction error, per pixel"):
        assert cells["VAE", column]["published"] == "0.091"
        assert cells["optimum", column]["published"] == "0"
    markdown = (tmp_path / "tables" / "avb-table-1.md").read_text()
    (number,) = re.findall(r"^\[(\d)\] the paper's text says cross-entropy", markdown, re.MULTILINE)
    assert f"| 0.0200 ± 0.0000 (published 0.091 [{number}]) |" in markdown
    assert f"| 0.0200 ± 0.0000 (published 0.021 [{number}]) |" in markdown
    assert "| 0.0050 ± 0.0000 (published 0.091, difference −0.086) |" in markdown
    latex = (tmp_path / "tables" / "avb-table-1.tex").read_text()
    printed = r"\quad published (difference) & "
    assert f"{printed}0.091 [{number}] & 0.021 [{number}] &  & 0.000 \\\\" in latex
    assert f"{printed}0.091 ($-$0.086) & 0.021 ($-$0.016) &  & 0.000 \\\\" in latex
    assert f"[{number}] the paper's text says cross-entropy" in latex


@pytest.mark.usefixtures("four_points")
def test_the_restricted_avb_is_compared_with_avb_itself(
    study: Study, evaluate: Callable[..., Path], tmp_path: Path
) -> None:
    labelled = study.content["tables"]["avb-table-1"]["experiments"]
    study.content["tables"]["avb-table-1"]["experiments"] = dict(reversed(labelled.items()))
    evaluate("aae", {"posterior_kl": {**GOOD, "mean": 0.17}})
    cells = cells_of("avb-table-1", study, tmp_path)
    excess = f"{POSTERIOR_KL}, excess over AVB"
    assert float(cells["AAE", excess]["mean"]) == pytest.approx(0.1)
    assert cells["AVB", excess]["status"] == "not run: AVB is what the others are compared with"
    assert cells["AAE", "ELBO from T"]["status"].startswith("not run: only AVB has a T(x, z)")
    text = (tmp_path / "tables" / "avb-table-1.md").read_text()
    assert "AAE (T restricted to T(z), section 5.2)" in text
    assert text.count("standard error of about 0.003 nats per replica at 20,000 codes") == 2


@pytest.mark.usefixtures("four_points")
def test_truncated_metrics_end_with_one_clear_error(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "avb" / "metrics.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(AebayesError, match=re.escape(str(path))):
        cells_of("avb-table-1", study, tmp_path)


@pytest.mark.parametrize(
    ("table", "column", "experiment", "other"),
    [
        ("avb-table-1", f"{POSTERIOR_KL}, excess over AVB", "vae-four-points", "avb-four-points"),
        ("avb-table-2", "above the VAE", "avb-ac-digits", "vae-digits"),
        ("avb-table-2", "ELBO", "avb-ac-digits", None),
        ("iwae-table-2", "change of −log p(x)", "vae-1-then-iwae-50-digits", "vae-1-digits"),
        ("iwae-table-2", "change of −log p(x)", "vae-1-digits", None),
    ],
)
def test_a_column_knows_the_experiment_that_it_takes_off(
    table: str, column: str, experiment: str, other: str | None
) -> None:
    study = load_study("pocket")
    names = study.tables[table]["experiments"].values()
    settings = {name: study.experiment(name) for name in names}
    (quantity,) = (each for each in TABLES[table].quantities if each.name == column)
    assert quantity.reference(experiment, settings) == other


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
