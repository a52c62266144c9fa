import math

import numpy as np
import pytest

from aebayes.evaluation.density import histogram_log_density
from aebayes.evaluation.divergences import knn_entropy, knn_kl

REPEATS = 10


def estimates(estimate, n=4000):
    """The estimator on fresh samples, REPEATS times: mean and its standard error."""
    values = [estimate(np.random.default_rng(seed), n) for seed in range(REPEATS)]
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(REPEATS)


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.6), (0.0, 0.5)])
def test_knn_kl_finds_the_divergence_of_two_known_gaussians(mean, sd):
    truth = 2 * (0.5 * (sd**2 + mean**2 - 1) - math.log(sd))
    found, error = estimates(
        lambda random, n: knn_kl(
            mean + sd * random.standard_normal((n, 2)), random.standard_normal((n, 2))
        )
    )
    # Beside its spread the estimator has a bias of order n^(−1/2) in two dimensions.
    assert abs(found - truth) < 4 * error + 1 / math.sqrt(4000)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_knn_entropy_finds_that_of_a_known_gaussian(dimensions):
    sd = 0.4
    truth = dimensions * (0.5 * math.log(2 * math.pi * math.e) + math.log(sd))
    found, error = estimates(
        lambda random, n: knn_entropy(sd * random.standard_normal((n, dimensions)))
    )
    assert abs(found - truth) < 4 * error + 1 / math.sqrt(4000) * dimensions


def test_knn_entropy_of_coinciding_samples_is_minus_infinity():
    assert knn_entropy(np.zeros((100, 2))) == -math.inf


def test_histogram_finds_a_known_density_and_leaves_thin_cells_unknown():
    samples = np.random.default_rng(0).standard_normal((400_000, 2))
    edges = np.linspace(-6, 6, 61)
    found = histogram_log_density(samples, edges)
    centres = (edges[1:] + edges[:-1]) / 2
    truth = -0.5 * (centres[:, None] ** 2 + centres[None] ** 2) - math.log(2 * math.pi)
    assert np.isnan(found[0, 0])
    known = ~np.isnan(found)
    counts = np.exp(truth[known]) * 0.04 * 400_000
    # A count's relative standard error is 1/√count; half a per cent for the cell's curvature.
    assert (np.abs(found[known] - truth[known]) < 5 / np.sqrt(counts) + 0.02).all()
