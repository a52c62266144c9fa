"""Whether a study's figures can be drawn is known before anything is trained."""

import pytest
import tiny

from aebayes.config import Study, load_study
from aebayes.errors import AebayesError
from aebayes.figures import FIGURES, check_suited


@pytest.mark.parametrize("name", ["pocket", "overnight", "paper", "ablation"])
def test_figures_of_the_shipped_studies_are_suited(name):
    check_suited(load_study(name))


def with_figure(tmp_path, name: str, experiment: str) -> Study:
    figures = {name: {"experiments": {"shown": experiment}}}
    return load_study(str(tiny.write(tmp_path / "tiny.yaml", tiny.study(figures=figures))))


@pytest.mark.parametrize(
    ("name", "experiment", "why"),
    [
        ("avb-figure-3", "vae-digits", "evaluation.kind: sampled"),
        ("avb-figure-4", "vae-four-points", "evaluation.kind: exact"),
        ("avb-figure-6", "vae-digits", "no evaluation.interpolations"),
        ("avb-theory", "aae-four-points", "method: aae"),
        ("aae-learning-curves", "vae-digits", "no training.track"),
        ("aae-figure-9", "vae-digits", "evaluation.kind: sampled"),
        ("aae-figure-4", "vae-digits", "no model.prior.classes"),
    ],
)
def test_experiment_that_a_figure_cannot_show_is_named_with_the_setting(
    tmp_path, name, experiment, why
):
    with pytest.raises(AebayesError) as caught:
        check_suited(with_figure(tmp_path, name, experiment))
    assert f"figures.{name}.experiments.shown: {experiment} has {why}" in caught.value.problem
    assert "tiny.yaml" in caught.value.problem


@pytest.mark.parametrize("name", [name for name, f in FIGURES.items() if f.needs == "experiments"])
def test_every_figure_shows_some_experiment_of_the_pocket_study_and_not_every(name):
    pocket = load_study("pocket")
    suited = []
    for experiment in pocket.experiments:
        content = pocket.content | {"figures": {name: {"experiments": {"shown": experiment}}}}
        try:
            check_suited(Study(pocket.path, pocket.name, content))
            suited.append(experiment)
        except AebayesError:
            pass
    assert suited
    assert (len(suited) < len(pocket.experiments)) == bool(FIGURES[name].asks)
