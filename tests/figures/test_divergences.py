"""Gaussians fitted to two modes, and which curve is whose."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from aebayes.data.two_modes import MEANS, SD, WEIGHTS, density, read
from aebayes.figures import divergences, style
from aebayes.figures.divergences import GRID, draw_divergences, fitted, jensen_shannon, kl
from aebayes.figures.sources import Sources

MEAN = np.dot(WEIGHTS, MEANS)
VARIANCE = SD**2 + np.dot(WEIGHTS, np.square(MEANS)) - MEAN**2


def test_divergences_of_gaussians_are_their_closed_forms():
    p, q = norm.pdf(GRID, 0.4, 0.1), norm.pdf(GRID, 0.5, 0.2)
    truth = np.log(2) + (0.1**2 + 0.1**2) / (2 * 0.2**2) - 0.5
    assert kl(p, q) == pytest.approx(truth, abs=1e-6)
    assert divergences.reverse_kl(q, p) == pytest.approx(truth, abs=1e-6)
    far = norm.pdf(GRID, -0.5, 0.05)
    assert jensen_shannon(far, norm.pdf(GRID, 1.5, 0.05)) == pytest.approx(np.log(2), abs=1e-6)
    assert jensen_shannon(p, p) == pytest.approx(0, abs=1e-9)


def test_maximum_likelihood_matches_moments_and_the_other_two_take_the_larger_mode():
    mean, sd, _ = fitted(kl)
    assert mean == pytest.approx(MEAN, abs=1e-3)
    assert sd == pytest.approx(np.sqrt(VARIANCE), abs=1e-3)
    for divergence in (divergences.reverse_kl, jensen_shannon):
        mean, sd, least = fitted(divergence)
        assert mean == pytest.approx(MEANS[0], abs=5e-3)
        assert sd == pytest.approx(SD, abs=5e-3)
        assert least < divergence(density(GRID), norm.pdf(GRID, MEAN, np.sqrt(VARIANCE)))
    # The lesser mode is what KL(q, p) leaves out: about −log of the weight of the other.
    assert fitted(divergences.reverse_kl)[2] == pytest.approx(-np.log(WEIGHTS[0]), abs=0.01)


def test_points_follow_the_density(tmp_path):
    images = read(tmp_path)["train"][0].ravel() / 255
    counts, edges = np.histogram(images, 20, (0, 1))
    expected = [density(np.linspace(a, b, 200)).mean() for a, b in pairwise(edges)]
    assert np.abs(counts / len(images) * 20 - expected).max() < 0.15
    assert images.mean() == pytest.approx(MEAN, abs=2e-3)


def test_curves_are_named_by_their_divergence_and_the_gans_has_its_samples_moments(
    sources: dict[str, Sources],
) -> None:
    with style.applied():
        left, right = draw_divergences(sources["divergences"]).axes
    (samples,) = sources["divergences"].only_experiment().arrays("samples")
    likelihood, gan = right.get_lines()
    assert gan.get_label() == "GAN"
    np.testing.assert_allclose(gan.get_ydata(), norm.pdf(GRID, samples.mean(), samples.std()))
    assert GRID[likelihood.get_ydata().argmax()] == pytest.approx(MEAN, abs=2e-3)
    named = {line.get_label().split(" =")[0]: line for line in left.get_lines()}
    assert list(named) == list(divergences.DIVERGENCES)
    assert GRID[named["JSD$(p, q)$"].get_ydata().argmax()] == pytest.approx(MEANS[0], abs=5e-3)
