import json

import numpy as np
import pytest
import tiny

from aebayes.data.dataset import load
from aebayes.errors import AebayesError
from aebayes.evaluation.annealed_likelihood import Parts
from aebayes.evaluation.likelihood import CHUNK_ELEMENTS
from aebayes.evaluation.run import evaluate
from aebayes.files import read_npz
from aebayes.training.run import train

EXACT = {
    "log_likelihood",
    "reconstruction",
    "reconstruction_per_pixel",
    "elbo",
    "prior_kl",
    "posterior_kl",
    "quadrature_error",
}


def evaluated(prepared, folder, experiment):
    data = prepared / f"{experiment['dataset']}.npz"
    train(experiment, data, folder, folder / "resume", "cpu")
    evaluate(experiment, data, folder, "cpu")
    return json.loads((folder / "metrics.json").read_text())["metrics"]


@pytest.mark.parametrize("method", ["vae", "vae_auxiliary", "avb", "avb_restricted", "aae"])
def test_four_points_have_every_metric_and_the_bound_is_below_the_likelihood(
    prepared, tmp_path, method
):
    metrics = evaluated(prepared, tmp_path, tiny.experiment(method))
    assert set(metrics) >= EXACT
    assert ("elbo_adversary" in metrics) == (method == "avb")
    for bound, truth in zip(
        metrics["elbo"]["replicas"], metrics["log_likelihood"]["replicas"], strict=True
    ):
        assert bound < truth + 0.05
    assert max(metrics["quadrature_error"]["replicas"]) < 1e-3


@pytest.mark.parametrize(
    "objective",
    [
        {"adversary_loss": "f_divergence"},
        {"adaptive_contrast": True, "warm_up": 0.5},
        {"adaptive_contrast": True, "contrast_correlations": True},
    ],
)
def test_avb_by_other_objectives_is_measured_against_the_same_truths(prepared, tmp_path, objective):
    experiment = tiny.experiment("avb") | {"objective": objective}
    basis = {"kind": "basis_noise", "basis": 2, "noise": 3, "basis_hidden": [4], **tiny.LAYERS}
    experiment["model"] = experiment["model"] | {"encoder": basis}
    metrics = evaluated(prepared, tmp_path, experiment)
    assert set(metrics) >= EXACT | {"elbo_adversary", "adversary_log_ratio_rms"}
    for bound, truth in zip(
        metrics["elbo"]["replicas"], metrics["log_likelihood"]["replicas"], strict=True
    ):
        assert bound < truth + 0.05


ANNEALING = {
    "temperatures": 20,
    "schedule": "sigmoid",
    "leapfrog": 3,
    "acceptance": 0.65,
    "burn_in": 10,
    "chains": 4,
    "images": 24,
    "simulated_images": 8,
}


@pytest.mark.parametrize("start", ["prior", "fitted"])
@pytest.mark.parametrize("method", ["vae", "aae"])
def test_annealed_evaluation_that_was_killed_ends_in_the_same_bytes(
    prepared, tmp_path, monkeypatch, method, start
):
    experiment = tiny.experiment(method, "digits") | {"binarisation": "dynamic"}
    annealing = ANNEALING | {"start": start}
    fewer = {"importance_images": 24, "annealing": annealing}
    experiment["evaluation"] = experiment["evaluation"] | fewer
    # With two, posteriors would be drawn on grids, in chunks as small.
    experiment["model"] |= {"latent": 3}
    data, resume = prepared / "digits.npz", tmp_path / "annealing.safetensors"
    train(experiment, data, tmp_path, tmp_path / "resume", "cpu")
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 2 * 4 * 8 * 64)  # eight images at once
    evaluate(experiment, data, tmp_path, "cpu", resume)
    undisturbed = (tmp_path / "metrics.json").read_bytes()
    assert not resume.exists()
    add = Parts.add

    def killed(self, part, streams):
        add(self, part, streams)
        if len(self.done) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parts, "add", killed)
        evaluate(experiment, data, tmp_path, "cpu", resume)
    assert resume.exists()
    evaluate(experiment, data, tmp_path, "cpu", resume)
    assert (tmp_path / "metrics.json").read_bytes() == undisturbed
    assert not resume.exists()
    metrics = json.loads(undisturbed)["metrics"]
    # Annealing's lower bound is the tighter: of other images than the importance samples', though.
    for annealed, nll in zip(
        metrics["annealed"]["replicas"], metrics["nll"]["replicas"], strict=True
    ):
        assert abs(annealed + nll) < 3


def test_auxiliary_vae_has_both_bounds_and_annealing_lies_above_them(prepared, tmp_path):
    experiment = tiny.experiment("vae_auxiliary", "digits") | {"binarisation": "dynamic"}
    annealing = ANNEALING | {"start": "prior", "temperatures": 100, "images": 300}
    evaluation = {"kind": "sampled", "importance_samples": 50, "annealing": annealing}
    metrics = evaluated(prepared, tmp_path, experiment | {"evaluation": evaluation})
    names = ("elbo", "nll", "annealed")
    for elbo, nll, annealed in zip(*(metrics[name]["replicas"] for name in names), strict=True):
        assert elbo < -nll < annealed + 0.05
    assert not [name for name in metrics if name.startswith("active_units")]


@pytest.mark.parametrize("kind", ["gaussian", "noise", "deterministic"])
def test_aae_takes_every_kind_of_encoder_and_its_likelihood_is_measured(prepared, tmp_path, kind):
    experiment = tiny.experiment("aae", "digits") | {"binarisation": "dynamic"}
    layers = {"hidden": [8], "activation": "relu"}
    noise = {"noise": 2} if kind == "noise" else {}
    experiment["model"] |= {"encoder": {"kind": kind, **noise, **layers}}
    metrics = evaluated(prepared, tmp_path, experiment)
    # No model of binary images is worse than a fair coin for each of the 64 pixels by much.
    assert all(10 < nll < 60 for nll in metrics["nll"]["replicas"])
    assert ("elbo" in metrics) == (kind == "gaussian")
    assert read_npz(tmp_path / "arrays.npz")["samples"].shape == (64, 64)


def test_likelihood_of_some_images_has_their_standard_error(prepared, tmp_path):
    experiment = tiny.experiment("vae", "digits") | {"binarisation": "none"}
    whole = evaluated(prepared, tmp_path / "all", experiment)["nll"]
    experiment["evaluation"] = experiment["evaluation"] | {"importance_images": 30}
    some = evaluated(prepared, tmp_path / "some", experiment)["nll"]
    for error, smaller in zip(some["standard_error"], whole["standard_error"], strict=True):
        assert 2 < error / smaller < 5  # of 30 images instead of 300


@pytest.mark.parametrize(
    ("prior", "weighed"),
    [
        ({"kind": "normal", "sd": 5.0}, True),
        ({"kind": "petals", "classes": 10, "radius": 3.0, "along": 1.0, "across": 0.3}, True),
        ({"kind": "uniform", "half_width": 2.0}, False),
        ({"kind": "swiss_roll", "classes": 10, "radius": 3.0, "turns": 2}, False),
    ],
)
@pytest.mark.parametrize("kind", ["gaussian", "deterministic"])
def test_aae_takes_every_prior(prepared, tmp_path, prior, weighed, kind):
    experiment = tiny.experiment("aae", "digits") | {"binarisation": "dynamic"}
    encoder = {"kind": kind, "hidden": [8], "activation": "tanh"}
    experiment["model"] |= {"encoder": encoder, "prior": prior}
    experiment["evaluation"] = {"kind": "sampled", "prior_match": True}
    experiment["evaluation"] |= {"importance_samples": 5} if weighed else {}
    metrics = evaluated(prepared, tmp_path, experiment)
    assert metrics["prior_kl"]["mean"] > 0  # after a few steps: far from a match
    assert metrics["prior_accuracy"]["mean"] > 0.6
    assert metrics["prior_mmd"]["mean"] > 0.01
    assert ("nll" in metrics) == weighed
    assert ("elbo" in metrics) == (kind == "gaussian" and prior["kind"] != "swiss_roll")
    assert metrics["reconstruction"]["mean"] > 0
    arrays = read_npz(tmp_path / "arrays.npz")
    assert arrays["samples"].shape == (64, 64)
    images = {"samples", "images", "reconstructions", "manifold"}
    images |= {"class_walk"} if "classes" in prior else set()
    halves = {name for name, array in arrays.items() if array.dtype == np.float16}
    assert halves == images


def shown_and_truth(prepared, folder, binarisation):
    """The images that an evaluation of digits looked at, and the test split's: (n, X) each."""
    experiment = tiny.experiment("vae", "digits", steps=1) | {"binarisation": binarisation}
    evaluated(prepared, folder, experiment)
    shown = read_npz(folder / "arrays.npz")["images"]
    dataset = load(prepared / "digits.npz")
    test = dataset.split("test")[0].reshape(-1, dataset.pixels) / dataset.scale
    return shown, test[: len(shown)]


def test_evaluation_is_on_the_test_images(prepared, tmp_path):
    shown, test = shown_and_truth(prepared, tmp_path, "none")
    assert shown.dtype == np.float16
    np.testing.assert_allclose(shown, test, atol=np.finfo(np.float16).eps / 4)  # below 1
    assert ((test > 0) & (test < 1)).any()  # intensities, which binarising would have changed


def test_test_images_are_binarised_with_their_intensities(prepared, tmp_path):
    shown, test = shown_and_truth(prepared, tmp_path, "dynamic")
    assert set(np.unique(shown)) == {0.0, 1.0}
    sure = (test == 0) | (test == 1)
    np.testing.assert_array_equal(shown[sure], test[sure])
    # Draws of one intensity have its mean, within four binomial standard errors.
    for intensity in np.unique(test[~sure]):
        draws = shown[test == intensity]
        error = np.sqrt(intensity * (1 - intensity) / len(draws))
        assert abs(draws.mean() - intensity) < 4 * error


def test_evaluating_twice_gives_the_same_bytes(prepared, tmp_path):
    experiment = tiny.experiment("avb")
    evaluated(prepared, tmp_path, experiment)
    names = ("metrics.json", "arrays.npz")
    first = [(tmp_path / name).read_bytes() for name in names]
    evaluate(experiment, prepared / "four_points.npz", tmp_path, "cpu")
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_missing_checkpoint_says_how_to_make_it(prepared, tmp_path):
    with pytest.raises(AebayesError) as caught:
        evaluate(tiny.experiment("vae"), prepared / "four_points.npz", tmp_path, "cpu")
    assert "checkpoint.safetensors is missing" in caught.value.problem
    assert "aebayes train vae-test" in caught.value.remedy


WINDOWS = {"parzen", "parzen_sd", "precision", "recall"}
MATCH = {"prior_kl", "prior_mmd", "prior_accuracy"}


@pytest.mark.parametrize(
    ("method", "settings", "expected", "arrays"),
    [
        ("gan", {"parzen_samples": 50}, WINDOWS, {"samples"}),
        (
            "gmmn",
            {"parzen_samples": 50, "parzen_many_samples": 90, "prior_match": True},
            WINDOWS | MATCH | {"parzen_many", "parzen_many_sd", "reconstruction"},
            {"samples", "images", "reconstructions"},
        ),
        (
            "aae_style",
            {"recognise": True, "prior_match": True},
            MATCH | {"recognised", "classifier_accuracy"},
            {"samples", "styles"},
        ),
    ],
)
def test_models_of_grey_images_have_the_metrics_that_they_can_have(
    prepared, tmp_path, method, settings, expected, arrays
):
    experiment = tiny.experiment(method, "digits") | {"evaluation": {"kind": "sampled", **settings}}
    metrics = evaluated(prepared, tmp_path, experiment)
    assert set(metrics) == expected
    assert all(len(metric["replicas"]) == 2 for metric in metrics.values())
    made = read_npz(tmp_path / "arrays.npz")
    assert arrays <= set(made)
    if method == "aae_style":
        assert made["styles"].shape == (10, 10, 64)
        assert made["styles"].dtype == np.float16


@pytest.mark.parametrize("told", ["decoder", "prior"])
def test_another_number_of_classes_than_the_datas_is_refused(prepared, tmp_path, told):
    experiment = tiny.experiment("aae_style" if told == "decoder" else "aae", "digits")
    if told == "decoder":
        experiment["model"]["decoder"]["classes"] = 9
    else:
        experiment["objective"]["labelled"] = 50
        experiment["model"]["prior"] = {"kind": "swiss_roll", "classes": 9, "radius": 3, "turns": 1}
    with pytest.raises(AebayesError, match=rf"{told}\.classes is 9, but digits has 10 classes"):
        evaluated(prepared, tmp_path, experiment)


def test_more_images_than_there_are_is_refused_by_key(prepared, tmp_path):
    experiment = tiny.experiment("vae")
    experiment["evaluation"] = {"kind": "sampled", "importance_samples": 5, "importance_images": 5}
    with pytest.raises(AebayesError, match=r"vae-test\.evaluation\.importance_images: 5 of 4 test"):
        evaluate(experiment, prepared / "four_points.npz", tmp_path, "cpu")
