"""Whether a study's figures can be drawn is known before anything is trained."""

import pytest

from aebayes.config import ROOT, Study, load_study
from aebayes.errors import AebayesError
from aebayes.figures import FIGURES, Figure, check_suited, in_words


@pytest.mark.parametrize("name", ["pocket", "overnight", "paper", "ablation"])
def test_figures_of_the_shipped_studies_are_suited(name):
    check_suited(load_study(name))


POCKET = load_study("pocket")


def pocket_with(name: str, entry: dict) -> Study:
    return Study(POCKET.path, POCKET.name, POCKET.content | {"figures": {name: entry}})


@pytest.mark.parametrize(
    ("name", "experiment", "why"),
    [
        ("avb-figure-3", "vae-digits", "evaluation.kind: sampled"),
        ("avb-figure-4", "vae-four-points", "evaluation.kind: exact"),
        ("avb-figure-6", "vae-1-digits", "no evaluation.interpolations"),
        ("avb-theory", "aae-four-points", "method: avb_restricted"),
        ("aae-learning-curves", "vae-digits", "no training.track"),
        ("aae-figure-9", "vae-digits", "evaluation.kind: sampled"),
        ("aae-figure-4", "vae-2d-digits", "no model.prior.classes"),
        ("aae-figure-2", "aae-style-digits", "model.decoder.classes: 10"),
        ("aae-figure-9", "nn-50-labels-digits", "no model.decoder"),
        ("divergences", "vae-digits", "dataset: digits"),
        ("iwae-units", "aae-digits", "model.encoder.kind: deterministic"),
        ("iwae-posteriors", "avb-2d-digits", "model.encoder.kind: noise"),
        ("avb-posteriors", "aae-plane-digits", "model.encoder.kind: deterministic"),
        ("reconstructions", "aae-style-digits", "model.decoder.classes: 10"),
    ],
)
def test_experiment_that_a_figure_cannot_show_is_named_with_the_setting(name, experiment, why):
    with pytest.raises(AebayesError) as caught:
        check_suited(pocket_with(name, {"experiments": {"shown": experiment}}))
    assert f"figures.{name}.experiments.shown: {experiment} has {why}, and" in caught.value.problem
    assert "pocket.yaml" in caught.value.problem


@pytest.mark.parametrize("name", [name for name, f in FIGURES.items() if f.needs == "experiments"])
def test_every_figure_shows_some_experiment_of_the_pocket_study_and_not_every(name):
    suited = []
    for experiment in POCKET.experiments:
        try:
            check_suited(pocket_with(name, {"experiments": {"shown": experiment}}))
            suited.append(experiment)
        except AebayesError:
            pass
    assert suited
    assert (len(suited) < len(POCKET.experiments)) == bool(FIGURES[name].asks)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("avb-theory", {"experiments": {"a": "avb-four-points", "b": "avb-four-points"}}),
        ("divergences", {"experiments": {"a": "gan-two-modes", "b": "gan-two-modes"}}),
        ("avb-figure-2", {"datasets": ["digits", "four_points"]}),
    ],
)
def test_a_figure_of_one_thing_refuses_two(name, entry):
    with pytest.raises(AebayesError, match=f"figures.{name} shows one of"):
        check_suited(pocket_with(name, entry))


def test_a_figure_refuses_what_it_would_not_show():
    entry = {"experiments": {"VAE": "vae-digits"}, "datasets": ["digits"]}
    with pytest.raises(AebayesError, match=r"figures\.training-curves\.datasets: the figure shows"):
        check_suited(pocket_with("training-curves", entry))


def documented(name: str, figure: Figure) -> str:
    """The figure's line in config/README.md."""
    asked = []
    for key, wanted in figure.asks.items():
        if wanted is None:
            asked.append(f"no `{key}`")
        else:
            asked.append(f"`{key}`" if wanted is ... else f"`{key}: {in_words(wanted)}`")
    number = "one" if figure.single else "any number"
    return f"| `{name}` | {number} | {', '.join(asked)} |"


def test_what_figures_ask_is_documented():
    lines = (ROOT / "config" / "README.md").read_text().splitlines()
    missing = [documented(*each) for each in FIGURES.items() if documented(*each) not in lines]
    assert not missing, "\n".join(missing)
