import math
from itertools import pairwise

import pytest
import torch
from truths import linear_gaussian, marginal, posterior

from aebayes.evaluation.likelihood import (
    CHUNK_ELEMENTS,
    EncoderProposal,
    effective_share,
    fitted_proposal,
    importance_sums,
    log_likelihood_bound,
    tempered,
)
from aebayes.streams import Streams

IMAGES = 50


def images(model, replicas=2):
    """Images from the model itself: (R, B, X)."""
    torch.manual_seed(0)
    return torch.stack([marginal(model, r).sample((IMAGES,)) for r in range(replicas)])


def truth(model, x):
    return torch.stack([marginal(model, r).log_prob(x[r]) for r in range(len(x))]).double()


def test_importance_sampled_likelihood_finds_the_closed_form_of_a_linear_gaussian_model():
    model = linear_gaussian()
    x = images(model)
    repeats = torch.stack(
        [
            log_likelihood_bound(
                model, x, EncoderProposal(model, x), 2000, Streams(s, [0, 1], "evaluation")
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
        proposal = fitted_proposal(model, x, streams)
    bound = log_likelihood_bound(model, x, proposal, 5000, streams)
    # Weights of a proposal this near the posterior vary by a few tenths: error < 0.3 / √5000.
    assert (bound - truth(model, x)).abs().max() < 0.03


@pytest.mark.parametrize("sd", [0.1, 0.03, 0.01])
def test_fitted_proposal_finds_narrow_posteriors(sd):
    model = linear_gaussian("noise")
    model.likelihood.sd = sd
    x = images(model)
    streams = Streams(0, [0, 1], "evaluation")
    with torch.no_grad():
        proposal = fitted_proposal(model, x, streams)
    k = 5000
    log_sum, log_sum_squares = importance_sums(model, x, proposal, k, streams)
    effective = (2 * log_sum - log_sum_squares).exp()
    assert effective.min() > k / 10
    # log of a mean of weights with n effective samples: standard error 1/√n. Single precision
    # carries x / sd, squared, to some 1e−6 of its size.
    error = effective.rsqrt() + 1e-6 / sd**2
    assert ((log_sum - math.log(k) - truth(model, x)).abs() < 5 * error).all()


def test_fitted_proposal_is_the_posterior_of_a_linear_gaussian_model_a_little_wider():
    model = linear_gaussian("noise")
    x = images(model)
    with torch.no_grad():
        proposal = fitted_proposal(model, x, Streams(0, [0, 1], "evaluation"))
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
                    model, x, EncoderProposal(model, x), k, Streams(s, [0, 1], "evaluation")
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
    proposal = EncoderProposal(model, x)
    at_once = log_likelihood_bound(model, x, proposal, 40, Streams(0, [0, 1], "evaluation"))
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 1)
    in_chunks = log_likelihood_bound(model, x, proposal, 40, Streams(0, [0, 1], "evaluation"))
    # A stream's long draw and its short draws are laid out differently: equal only in distribution.
    spread = torch.stack(
        [
            log_likelihood_bound(model, x, proposal, 40, Streams(s, [0, 1], "evaluation")).mean()
            for s in range(10)
        ]
    ).std()
    assert (at_once.mean() - in_chunks.mean()).abs() < 5 * spread


def test_tempering_leaves_even_weights_alone_and_flattens_lonely_ones():
    even = torch.zeros(1, 64, 1)
    torch.testing.assert_close(tempered(even).exp(), torch.full((1, 64, 1), 1 / 64))
    lonely = torch.zeros(1, 64, 1)
    lonely[0, 3] = 100.0
    assert effective_share(tempered(lonely)).item() >= 0.25
