import math

import torch
from truths import linear_gaussian, marginal, posterior

from aebayes.evaluation.exact import (
    grid_posterior_kl,
    knn_posterior_kl,
    prior_kl,
    rms_under,
    sample_codes,
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
        found = grid_posterior_kl(model, x, grid, log_joint, log_px)
    torch.testing.assert_close(found, true_posterior_kl(model).double(), atol=1e-3, rtol=1e-3)


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


def test_rms_weighs_cells_by_density_and_leaves_unknown_cells_out():
    log_q = torch.tensor([[[[0.0, math.nan], [math.log(3.0), math.nan]]]])
    difference = torch.tensor([[[[2.0, 9.0], [0.0, 9.0]]]])
    torch.testing.assert_close(rms_under(log_q, difference), torch.tensor([1.0]))
