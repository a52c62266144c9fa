import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from aebayes.evaluation.match import accuracy, match_metrics, median_distance, mmd_squared
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams


def normal(seed: int, mean: float, sd: float, n: int = 2000, d: int = 2) -> torch.Tensor:
    return mean + sd * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def kernel_mean(shift: float, variance: float, width: float, d: int) -> float:
    """E exp(−‖v‖² / 2w²) of v ~ N(shift, variance I) in d dimensions, shift along each."""
    total = width**2 + variance
    return (width**2 / total) ** (d / 2) * math.exp(-0.5 * d * shift**2 / total)


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.5, 1.0), (0.0, 0.5), (1.0, 2.0)])
@pytest.mark.parametrize("d", [1, 3])
def test_mmd_of_two_gaussians_is_its_closed_form(mean, sd, d):
    width = 1.3
    truth = (
        kernel_mean(0, 2, width, d)
        + kernel_mean(0, 2 * sd**2, width, d)
        - 2 * kernel_mean(mean, 1 + sd**2, width, d)
    )
    found = torch.tensor(
        [
            mmd_squared(normal(i, mean, sd, 700, d), normal(i + 99, 0, 1, 700, d), width)
            for i in range(10)
        ]
    )
    assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(10)


def test_mmd_in_pieces_is_that_of_the_whole(monkeypatch):
    p, q = normal(0, 0, 1, 157), normal(1, 0.3, 1, 203)
    whole = mmd_squared(p, q, 1.0)
    monkeypatch.setattr("aebayes.evaluation.match.ROWS_AT_ONCE", 50)
    assert mmd_squared(p, q, 1.0) == pytest.approx(whole, rel=1e-9)


def test_median_distance_of_a_gaussian():
    # Two draws of N(0, I) differ by N(0, 2 I), whose length in the plane is Rayleigh's.
    found = median_distance(normal(0, 0, 1, 3000))
    assert found == pytest.approx(math.sqrt(2) * math.sqrt(2 * math.log(2)), rel=0.03)


@pytest.mark.parametrize("mean", [0.0, 1.0, 3.0])
def test_classifier_is_as_good_as_the_best_and_no_better(mean):
    p, q = normal(0, mean, 1, 3000, 1), normal(1, 0, 1, 3000, 1)
    best = norm.cdf(mean / 2)  # the midpoint's rule
    error = math.sqrt(0.25 / 6000)
    found = accuracy(p.numpy(), q.numpy())
    assert best - 0.02 < found < best + 4 * error


def model_with_codes_of(sd: float) -> AutoEncoder:
    """q(z|x) = N(0, sd²) whatever x is, under p(z) = N(0, 25 I)."""
    layers = {"hidden": [], "activation": "tanh"}
    model = AutoEncoder(
        {
            "latent": 2,
            "prior": {"kind": "normal", "sd": 5.0},
            "encoder": {"kind": "gaussian", **layers},
            "decoder": layers,
            "likelihood": "bernoulli",
        },
        (3,),
        2,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.encoder.network.layers[-1].bias[..., 2:] = math.log(sd)
    return model.requires_grad_(False)


def test_codes_that_follow_the_prior_match_it_and_others_do_not():
    x = torch.zeros(2, 1500, 3)
    streams = Streams(1, range(2), "evaluation")
    same = match_metrics(model_with_codes_of(5.0), x, streams)
    narrow = match_metrics(model_with_codes_of(2.0), x, streams)
    truth = 2 * (0.5 * (0.16 - 1) - math.log(0.4))  # KL(N(0, 4 I) ‖ N(0, 25 I))
    for replica in range(2):
        assert abs(same["prior_kl"].replicas[replica]) < 0.1
        assert abs(narrow["prior_kl"].replicas[replica] - truth) < 0.1
        assert abs(same["prior_mmd"].replicas[replica]) < 0.005
        assert narrow["prior_mmd"].replicas[replica] > 0.05
        error = same["prior_accuracy"].standard_error[replica]
        assert error == pytest.approx(math.sqrt(0.25 / 3000), rel=0.01)
        assert abs(same["prior_accuracy"].replicas[replica] - 0.5) < 4 * error
        assert narrow["prior_accuracy"].replicas[replica] > 0.7
    assert np.isfinite(same["prior_accuracy"].replicas).all()
