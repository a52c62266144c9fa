"""AAE's Table 1: the paper's own rows stand below ours, and say why we have none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cells import cells_of

from aebayes.tables import inputs
from aebayes.tables.aae import BASELINE, TFD

PARZEN = "Parzen log-likelihood, 10K samples"
MANY = "Parzen log-likelihood, 10M samples"


@pytest.fixture
def evaluated(evaluate: Callable[..., Path]) -> None:
    """One replica of the AAE, by windows alone."""
    parzen = {"unit": "nats/image", "replicas": [341.5], "mean": 341.5, "sd": None}
    evaluate("aae-grey-mnist", {"parzen": {**parzen, "standard_error": [2.1]}})


def test_ours_stands_beside_the_published_value_of_grey_mnist(study, evaluated, tmp_path):
    cells = cells_of("aae-table-1", study, tmp_path)
    assert cells["AAE", PARZEN]["mean"] == "341.5"
    assert cells["AAE", PARZEN]["published"] == "340"
    assert (
        cells["AAE", MANY]["status"] == "not run: its evaluation in this study does not ask for it"
    )
    assert cells["AAE", MANY]["published"] == "427"
    text = (tmp_path / "tables" / "aae-table-1.md").read_text()
    assert "341.5 (s.e. 2.1)" in text
    assert "on 10000 samples" in text


def test_rows_that_only_the_paper_has_say_why(study, evaluated, tmp_path):
    cells = cells_of("aae-table-1", study, tmp_path)
    assert cells["Deep GSN", PARZEN]["published"] == "214"
    assert cells["Deep GSN", PARZEN]["status"] == f"not run: {BASELINE}"
    assert cells["AAE, TFD", MANY]["published"] == "2522"
    assert cells["AAE, TFD", MANY]["status"] == f"not run: {TFD}"


def test_a_run_of_ours_takes_the_place_of_the_papers_own_row(study, evaluated, evaluate, tmp_path):
    ours = {**study.content["experiments"]["aae-grey-mnist"], "dataset": "tfd"}
    study.content["experiments"]["aae-tfd"] = ours
    study.content["datasets"]["tfd"] = {"binarisation": "none"}
    study.content["tables"]["aae-table-1"]["experiments"]["AAE, TFD"] = "aae-tfd"
    evaluate(
        "aae-tfd", {"parzen": {"unit": "nats/image", "replicas": [9.5], "mean": 9.5, "sd": None}}
    )
    cell = cells_of("aae-table-1", study, tmp_path)["AAE, TFD", PARZEN]
    assert (cell["mean"], cell["published"], cell["status"]) == ("9.5", "2252", "run")
    cell = cells_of("aae-table-1", study.without(["tfd"]), tmp_path)["AAE, TFD", PARZEN]
    assert (cell["mean"], cell["published"], cell["status"]) == ("", "2252", f"not run: {TFD}")


def test_only_row_says_that_its_dataset_is_not_here(study, evaluated, tmp_path):
    ours = {**study.content["experiments"]["aae-grey-mnist"], "dataset": "tfd"}
    study.content["experiments"] = {"aae-tfd": ours}
    study.content["datasets"]["tfd"] = {"binarisation": "none"}
    study.content["tables"]["aae-table-1"]["experiments"] = {"AAE, TFD": "aae-tfd"}
    cell = cells_of("aae-table-1", study.without(["tfd"]), tmp_path)["AAE, TFD", PARZEN]
    assert cell["status"].startswith("not run: ")


def test_note_tells_of_how_many_images_the_likelihood_is(study, evaluated, tmp_path):
    for name, images in (("aae-grey-mnist", 500), ("vae-grey-mnist", 200)):
        entry = study.content["experiments"][name]
        entry["evaluation"] = {**entry["evaluation"], "importance_images": images}
    del study.content["experiments"]["vae-grey-mnist"]["evaluation"]["importance_samples"]
    cells_of("aae-table-1", study.without(["mnist"]), tmp_path)
    text = (tmp_path / "tables" / "aae-table-1.md").read_text()
    assert "−L_k of the first 500 test images under" in text


@pytest.mark.parametrize(
    ("likelihood", "said"),
    [
        ({"likelihood": "bernoulli"}, "Bernoulli pixels whose means are grey levels"),
        (
            {"likelihood": "gaussian", "likelihood_sd": 0.2},
            "Gaussian pixels of standard deviation 0.2",
        ),
    ],
)
def test_note_tells_the_pixels_distribution(study, evaluated, tmp_path, likelihood, said):
    for name in ("aae-grey-mnist", "vae-grey-mnist"):
        study.content["experiments"][name]["model"] = likelihood
    cells_of("aae-table-1", study.without(["mnist"]), tmp_path)
    text = (tmp_path / "tables" / "aae-table-1.md").read_text()
    assert f"test images under {said}, with" in text


def test_they_do_not_stand_below_runs_on_other_data(study, evaluated, tmp_path):
    study.content["experiments"]["aae-grey-mnist"]["binarisation"] = "dynamic"
    study.content["experiments"]["vae-grey-mnist"]["binarisation"] = "dynamic"
    cells = cells_of("aae-table-1", study, tmp_path)
    assert {row for row, _ in cells} == {"AAE", "VAE"}


def test_runs_on_a_dataset_that_is_not_here_say_so_and_are_not_read(study, evaluated, tmp_path):
    without = study.without(["mnist"])
    assert inputs("aae-table-1", study) == ["aae-grey-mnist", "vae-grey-mnist"]
    assert inputs("aae-table-1", without) == []
    cells = cells_of("aae-table-1", without, tmp_path)
    assert cells["AAE", PARZEN]["status"] == "not run: the dataset mnist is not here"
    assert cells["AAE", PARZEN]["mean"] == ""
    assert cells["AAE", PARZEN]["published"] == "340"
