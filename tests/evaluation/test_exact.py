import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from truths import (
    LogRatio,
    black_box,
    elbo,
    encoder_density,
    expected_log_likelihood,
    linear_gaussian,
    marginal,
    posterior,
)

from aebayes.evaluation.exact import (
    THEORY_CELLS,
    THEORY_HALF_WIDTH,
    compare_with_theory,
    exact_metrics,
    grid_posterior_kl,
    knn_posterior_kl,
    prior_kl,
    rms_under,
    sample_codes,
    sampled_posterior_kl,
)
from aebayes.evaluation.quadrature import Grid, log_joint_on
from aebayes.streams import Streams

X = torch.tensor([[0.2, 0.9, -0.5, 0.3], [1.0, -0.2, 0.4, 0.1], [0.0, 0.0, 0.0, 0.0]])
REPLICAS = [0, 1]


def exact(model, side=201):
    x = X.expand(len(REPLICAS), -1, -1)
    grid = Grid.of(side)
    log_joint = log_joint_on(model, x, grid)
    return x, grid, log_joint, grid.log_integral(log_joint)


def test_quadrature_finds_the_log_likelihood_of_a_linear_gaussian_model():
    model = linear_gaussian()
    _, _, _, log_px = exact(model)
    truth = torch.stack([marginal(model, r).log_prob(X) for r in REPLICAS])
    torch.testing.assert_close(log_px, truth.double(), atol=1e-5, rtol=0)


def true_posterior_kl(model):
    """KL(q ‖ p(z|x)) in closed form, q the affine Gaussian encoder."""
    means, log_sds = model.encoder.moments(X.expand(len(REPLICAS), -1, -1))
    return torch.stack(
        [
            torch.distributions.kl_divergence(
                torch.distributions.MultivariateNormal(
                    means[r], torch.diag_embed((2 * log_sds[r]).exp())
                ),
                posterior(model, r, X),
            )
            for r in REPLICAS
        ]
    ).detach()


def test_grid_finds_the_kl_between_gaussian_posteriors():
    model = linear_gaussian()
    x, grid, log_joint, log_px = exact(model)
    with torch.no_grad():
        found, mass = grid_posterior_kl(model, x, grid, log_joint, log_px)
    torch.testing.assert_close(mass, torch.ones_like(mass), atol=1e-3, rtol=0)
    torch.testing.assert_close(found, true_posterior_kl(model).double(), atol=1e-3, rtol=1e-3)


def test_grid_knows_that_a_narrow_q_slips_through_it_and_the_codes_still_find_its_kl():
    model = linear_gaussian()
    with torch.no_grad():  # deviations of a hundredth of a grid's cell
        model.encoder.network.layers[-1].bias[..., 2:] = math.log(6e-4)
    x, grid, log_joint, log_px = exact(model)
    with torch.no_grad():
        _, mass = grid_posterior_kl(model, x, grid, log_joint, log_px)
        codes = sample_codes(model, x, 500, Streams(0, REPLICAS, "test"))
        found = sampled_posterior_kl(model, x, codes, log_px)
    assert ((mass - 1).abs() > 0.1).all()
    # Of the log ratio only −χ²(2)/2 of q varies, with deviation 1: standard error 1 / √500.
    difference = found - true_posterior_kl(model)
    assert (difference.abs() < 5 / math.sqrt(500)).all()


def test_nearest_neighbours_find_the_posterior_kl_without_a_density():
    model = linear_gaussian()
    x, _, _, log_px = exact(model)
    samples = 4000
    with torch.no_grad():
        repeats = torch.stack(
            [
                knn_posterior_kl(
                    model, x, sample_codes(model, x, samples, Streams(s, REPLICAS, "test")), log_px
                )
                for s in range(8)
            ]
        )
    error = repeats.std(0) / math.sqrt(len(repeats))
    bias = 1 / math.sqrt(samples)
    difference = repeats.mean(0) - true_posterior_kl(model)
    assert (difference.abs() < 4 * error + bias).all()


def test_codes_keep_their_images_apart():
    model = linear_gaussian()
    x = X.expand(len(REPLICAS), -1, -1)
    with torch.no_grad():
        codes = sample_codes(model, x, 3000, Streams(0, REPLICAS, "test"))  # (R, S, B, 2)
        means, log_sds = model.encoder.moments(x)
    assert ((codes.mean(1) - means).abs() < 5 * log_sds.exp() / math.sqrt(3000)).all()


def test_aggregated_codes_that_follow_the_prior_have_no_divergence_from_it():
    streams = Streams(0, REPLICAS, "test")
    codes = streams.normal(2000, 3, 2)
    for value in prior_kl(codes, streams):
        assert abs(value) < 0.06  # sd about √(2 / 6000) and a bias of the same order


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.5), (0.0, 0.4), (1.0, 0.7)])
def test_prior_kl_is_from_the_codes_to_the_prior_and_not_the_other_way_round(mean, sd):
    truth = 2 * (0.5 * (sd**2 + mean**2 - 1) - math.log(sd))
    reverse = 2 * (0.5 * ((1 + mean**2) / sd**2 - 1) + math.log(sd))
    values = []
    for seed in range(4):
        streams = Streams(seed, REPLICAS, "test")
        values += prior_kl(mean + sd * streams.normal(1000, 4, 2), streams)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    bias = 1 / math.sqrt(4000)
    assert abs(np.mean(values) - truth) < 4 * error + bias
    assert abs(reverse - truth) > 10 * (4 * error + bias)  # the two could not be confused


def far_apart():
    """A linear-Gaussian model, black box to evaluation, and images whose codes differ."""
    return black_box(linear_gaussian()), (4 * X).expand(len(REPLICAS), -1, -1)


def method_of(model, adversary):
    return SimpleNamespace(model=model, log_ratio=adversary, estimates_log_ratio=True)


def log_mutual_information(model):
    """T(x, z) = log q(z|x) − log q(z), the aggregate of the images that T is shown."""

    def t(x, z):
        q = encoder_density(model.encoder, x)
        log_q = q.log_prob(z.expand(-1, -1, x.shape[1], -1).transpose(0, 1)).transpose(0, 1)
        return log_q - (log_q.logsumexp(-1, keepdim=True) - math.log(x.shape[1]))

    return t


def test_bound_by_the_optimal_adversary_is_the_true_bound():
    model, x = far_apart()
    method = method_of(model, LogRatio(model.encoder))
    settings = {"grid": 41, "codes": 500, "density_codes": 2000}
    draws = {"elbo_adversary": [], "reconstruction": []}
    for seed in range(8):
        metrics, _ = exact_metrics(method, x, settings, Streams(seed, REPLICAS, "test"))
        for name, values in draws.items():
            values.append(torch.tensor(metrics[name].replicas))
    with torch.no_grad():
        truths = {
            "elbo_adversary": elbo(model, x).mean(1),
            "reconstruction": -expected_log_likelihood(model, x).mean(1),
        }
    for name, values in draws.items():
        values = torch.stack(values)
        error = values.std(0) / math.sqrt(8)
        assert ((values.mean(0) - truths[name]).abs() < 6 * error).all()


DENSITY_CODES = 400_000


def counting_error(log_q):
    """RMS under q of log(count / n) − log p, √(cells / (n · mass)): log q (R, B, G, G) -> (R,).

    A cell of probability p is counted n p times: it weighs p, and its error squared is 1 / (n p).
    """
    cell = (2 * THEORY_HALF_WIDTH / THEORY_CELLS) ** 2
    cells = (~np.isnan(log_q)).sum((1, 2, 3))
    mass = np.nansum(np.exp(log_q), (1, 2, 3)) * cell
    return np.sqrt(cells / (DENSITY_CODES * mass))


def theory(adversary_of):
    """compare_with_theory's metrics and arrays with a known T, and its counting error."""
    model, x = far_apart()
    method = method_of(model, adversary_of(model))
    with torch.no_grad():
        metrics, arrays = compare_with_theory(
            method, x, DENSITY_CODES, Streams(0, REPLICAS, "test")
        )
    axis = arrays["theory_axis"]
    log_prior = -0.5 * (axis[:, None] ** 2 + axis[None] ** 2) - math.log(2 * math.pi)
    return metrics, arrays, counting_error(arrays["theory_log_ratio"] + log_prior)


def test_log_ratio_of_theory_is_a_known_densitys_within_counting_error():
    metrics, _, error = theory(lambda model: LogRatio(model.encoder))
    found = np.array(metrics["adversary_log_ratio_rms"].replicas)
    # Rare cells err a little more than 1/√count, and ~2000 squares leave the RMS 2 % of noise.
    np.testing.assert_allclose(found, error, rtol=0.1)
    wrong = np.array(metrics["adversary_pmi_rms"].replicas)
    assert (wrong > 10 * error).all()  # log p(z) and log q(z) are far from each other here


def test_pointwise_mutual_information_of_theory_is_that_of_known_densities():
    metrics, arrays, error = theory(log_mutual_information)
    found = np.array(metrics["adversary_pmi_rms"].replicas)
    assert (found < 1.2 * error).all()
    assert (np.array(metrics["adversary_log_ratio_rms"].replicas) > 10 * error).all()
    assert np.nanmax(arrays["theory_pmi"]) <= math.log(len(X)) + 1e-5


def test_rms_weighs_cells_by_density_and_leaves_unknown_cells_out():
    log_q = torch.tensor([[[[0.0, math.nan], [math.log(3.0), math.nan]]]])
    difference = torch.tensor([[[[2.0, 9.0], [0.0, 9.0]]]])
    torch.testing.assert_close(rms_under(log_q, difference), torch.tensor([1.0]))
