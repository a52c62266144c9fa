import functools
import math
from itertools import pairwise

import pytest
import torch
from truths import linear_gaussian, marginal, posterior, two_layers_apart

from aebayes.evaluation.likelihood import (
    CHUNK_ELEMENTS,
    chunks,
    importance_sums,
    log_likelihood_bound,
    round_numbers,
)
from aebayes.evaluation.proposals import (
    Proposal,
    effective_share,
    fitted_proposal,
    gaussian_log_weights,
    tempered,
)
from aebayes.streams import Streams

IMAGES = 50


def images(model, replicas=2):
    """Images from the model itself: (R, B, X)."""
    torch.manual_seed(0)
    return torch.stack([marginal(model, r).sample((IMAGES,)) for r in range(replicas)])


def encoder_proposal(model, x):
    return Proposal(x, model.encoder.noise, model.log_weights)


def fitted(model, x, gaussian):
    weights = functools.partial(gaussian_log_weights, model)
    return Proposal(x, model.latent, weights, (gaussian.mean, gaussian.factor))


def truth(model, x):
    return torch.stack([marginal(model, r).log_prob(x[r]) for r in range(len(x))]).double()


def test_importance_sampled_likelihood_finds_the_closed_form_of_a_linear_gaussian_model():
    model = linear_gaussian()
    x = images(model)
    repeats = torch.stack(
        [
            log_likelihood_bound(
                encoder_proposal(model, x), 2000, Streams(s, [0, 1], "evaluation")
            ).mean(1)
            for s in range(8)
        ]
    )
    error = repeats.std(0) / math.sqrt(len(repeats))
    assert ((repeats.mean(0) - truth(model, x).mean(1)).abs() < 4 * error + 1e-3).all()


@pytest.mark.parametrize("kind", ["noise", "deterministic"])
def test_fitted_proposal_gives_black_box_encoders_the_true_likelihood(kind):
    model = linear_gaussian(kind)
    x = images(model)
    streams = Streams(0, [0, 1], "evaluation")
    with torch.no_grad():
        proposal = fitted_proposal(x, model.encode(x, streams), model.log_joint, streams)
    bound = log_likelihood_bound(fitted(model, x, proposal), 5000, streams)
    # Weights of a proposal this near the posterior vary by a few tenths: error < 0.3 / √5000.
    assert (bound - truth(model, x)).abs().max() < 0.03


@pytest.mark.parametrize("sd", [0.1, 0.03, 0.01])
def test_fitted_proposal_finds_narrow_posteriors(sd):
    model = linear_gaussian("noise")
    model.likelihood.sd = sd
    x = images(model)
    streams = Streams(0, [0, 1], "evaluation")
    with torch.no_grad():
        proposal = fitted_proposal(x, model.encode(x, streams), model.log_joint, streams)
    k = 5000
    sums = importance_sums(fitted(model, x, proposal), [k], streams)
    effective = sums.effective_samples
    assert effective.min() > k / 10
    # log of a mean of weights with n effective samples: standard error 1/√n. Single precision
    # carries x / sd, squared, to some 1e−6 of its size.
    error = effective.rsqrt() + 1e-6 / sd**2
    assert ((sums.bounds[-1] - truth(model, x)).abs() < 5 * error).all()


def test_fitted_proposal_is_the_posterior_of_a_linear_gaussian_model_a_little_wider():
    model = linear_gaussian("noise")
    x = images(model)
    with torch.no_grad():
        streams = Streams(0, [0, 1], "evaluation")
        proposal = fitted_proposal(x, model.encode(x, streams), model.log_joint, streams)
    for r in range(2):
        true = posterior(model, r, x[r])
        deviation = true.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt()
        # A mean over some 256 × ¼ effective samples: standard error 1/8 of a deviation.
        assert ((proposal.mean[r] - true.mean) / deviation).abs().max() < 0.6
        covariance = proposal.factor[r] @ proposal.factor[r].mT
        ratio = covariance.diagonal(dim1=-2, dim2=-1).sqrt() / deviation
        assert 1.0 < ratio.mean() < 1.4


def test_bound_does_not_decrease_with_k():
    model = linear_gaussian()
    x = images(model)
    bounds = [
        torch.stack(
            [
                log_likelihood_bound(
                    encoder_proposal(model, x), k, Streams(s, [0, 1], "evaluation")
                ).mean()
                for s in range(20)
            ]
        )
        for k in (1, 10, 100)
    ]
    for lower, upper in pairwise(bounds):
        error = math.hypot(lower.std(), upper.std()) / math.sqrt(20)
        assert upper.mean() > lower.mean() - 3 * error
    assert bounds[-1].mean() > bounds[0].mean()


def test_bound_is_the_same_whether_its_samples_come_in_chunks_or_at_once(monkeypatch):
    model = linear_gaussian()
    x = images(model)
    proposal = encoder_proposal(model, x)
    at_once = log_likelihood_bound(proposal, 40, Streams(0, [0, 1], "evaluation"))
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 1)
    in_chunks = log_likelihood_bound(proposal, 40, Streams(0, [0, 1], "evaluation"))
    # A stream's long draw and its short draws are laid out differently: equal only in distribution.
    spread = torch.stack(
        [
            log_likelihood_bound(proposal, 40, Streams(s, [0, 1], "evaluation")).mean()
            for s in range(10)
        ]
    ).std()
    assert (at_once.mean() - in_chunks.mean()).abs() < 5 * spread


def test_bounds_of_one_run_at_every_k_are_those_of_its_first_samples(monkeypatch):
    model = linear_gaussian()
    x = images(model)
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 7 * x.numel())
    proposal, ks = encoder_proposal(model, x), [1, 2, 5, 7, 8, 40]
    sums = importance_sums(proposal, ks, Streams(0, [0, 1], "evaluation"))
    streams = Streams(0, [0, 1], "evaluation")
    with torch.no_grad():
        parts = [proposal.weigh(size, streams) for _, size in chunks(40, 7)]
    weights = torch.cat(parts, 1).double()
    expected = torch.stack([weights[:, :k].logsumexp(1) - math.log(k) for k in ks])
    torch.testing.assert_close(sums.bounds, expected)
    squares = (2 * weights).logsumexp(1)
    torch.testing.assert_close(sums.log_sum_squares, squares)


def test_bound_of_two_layers_with_the_second_apart_is_the_one_layer_bound():
    model, apart = linear_gaussian(), two_layers_apart()
    x = images(model)
    runs = [
        torch.stack(
            [
                log_likelihood_bound(
                    encoder_proposal(each, x), 20, Streams(s, [0, 1], "evaluation")
                ).mean(1)
                for s in range(16)
            ]
        )
        for each in (model, apart)
    ]
    error = torch.hypot(*(run.std(0) / 4 for run in runs))
    assert ((runs[0].mean(0) - runs[1].mean(0)).abs() < 4 * error).all()
    # Sample by sample: the same z1 has the same weight, whatever z2.
    noise = Streams(0, [0, 1], "evaluation").normal(20, IMAGES, 5)
    with torch.no_grad():
        weights = model.log_weights(x, noise[..., :2]), apart.log_weights(x, noise)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-4)


def test_round_numbers_end_in_the_last_and_rise():
    assert round_numbers(5000) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    assert round_numbers(1) == [1]
    assert round_numbers(64) == [1, 2, 5, 10, 20, 50, 64]


def test_chunks_cover_everything_once():
    for total, most in ((5000, 66), (7, 7), (8, 7), (3, 0)):
        parts = chunks(total, most)
        assert [first for first, _ in parts] == [
            sum(s for _, s in parts[:i]) for i in range(len(parts))
        ]
        assert sum(size for _, size in parts) == total
        assert max(size for _, size in parts) <= max(1, most)


def test_tempering_leaves_even_weights_alone_and_flattens_lonely_ones():
    even = torch.zeros(1, 64, 1)
    torch.testing.assert_close(tempered(even).exp(), torch.full((1, 64, 1), 1 / 64))
    lonely = torch.zeros(1, 64, 1)
    lonely[0, 3] = 100.0
    assert effective_share(tempered(lonely)).item() >= 0.25
