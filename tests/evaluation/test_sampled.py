import math
from types import SimpleNamespace

import pytest
import torch
from truths import LogRatio, black_box, elbo, expected_log_likelihood, linear_gaussian, marginal

from aebayes.evaluation.metrics import over_images
from aebayes.evaluation.proposals import GaussianProposal
from aebayes.evaluation.sampled import interpolations, reconstruct, sampled_metrics
from aebayes.streams import Streams

REPLICAS = [0, 1]
SEEDS = 16


def encoders_own(model, x):
    mean, log_sd = model.encoder.moments(x)
    return GaussianProposal(mean, torch.diag_embed(log_sd.exp()))


def images(model, count=20):
    """Images from the model itself: (R, B, X)."""
    torch.manual_seed(0)
    return torch.stack([marginal(model, r).sample((count,)) for r in REPLICAS])


def method_of(kind):
    """A linear-Gaussian model whose bound comes from the encoder's density, or from T*."""
    model = linear_gaussian()
    adversary = LogRatio(model.encoder)
    if kind == "adversary":
        black_box(model)
    return SimpleNamespace(
        model=model, log_ratio=adversary, estimates_log_ratio=kind == "adversary"
    )


def check(draws, truth):
    """Draws of an estimate, (SEEDS, ...), have the mean `truth`, (...)."""
    draws = torch.stack(draws)
    error = draws.std(0) / math.sqrt(SEEDS)
    # Six, not four: up to 40 values, each with an error estimated from 16 draws.
    assert ((draws.mean(0) - truth).abs() < 6 * error + 1e-5).all()


@pytest.mark.parametrize("kind", ["density", "adversary"])
def test_reconstruction_and_bound_are_the_closed_forms_of_a_linear_gaussian_model(kind):
    method = method_of(kind)
    x = images(method.model)
    with torch.no_grad():
        draws = [reconstruct(method, x, Streams(s, REPLICAS, "test")) for s in range(SEEDS)]
        check([expected for expected, _ in draws], expected_log_likelihood(method.model, x))
        check([bound for _, bound in draws], elbo(method.model, x))


def test_bound_of_a_black_box_without_an_adversary_is_unknown():
    method = method_of("density")
    black_box(method.model)
    x = images(method.model)
    with torch.no_grad():
        expected, bound = reconstruct(method, x, Streams(0, REPLICAS, "test"))
    assert bound.isnan().all()
    assert expected.isfinite().all()


@pytest.mark.parametrize(("kind", "name"), [("density", "elbo"), ("adversary", "elbo_adversary")])
def test_metrics_have_the_signs_of_their_names(monkeypatch, kind, name):
    # The fit has tests of its own; here the black box's true proposal does, and is quick.
    monkeypatch.setattr(
        "aebayes.evaluation.sampled.fitted_proposal",
        lambda x, *_: encoders_own(method.model, x),
    )
    method = method_of(kind)
    x = images(method.model, 120)
    draws = {"reconstruction": [], name: [], "nll": []}
    for seed in range(SEEDS):
        metrics, _ = sampled_metrics(
            method, x, [x], {"importance_samples": 50}, Streams(seed, REPLICAS, "test")
        )
        assert {key for key in metrics if key.startswith("elbo")} == {name}
        for key, values in draws.items():
            values.append(torch.tensor(metrics[key].replicas))
    with torch.no_grad():
        check(draws["reconstruction"], -expected_log_likelihood(method.model, x).mean(1))
        check(draws[name], elbo(method.model, x).mean(1))
    true_nll = -torch.stack([marginal(method.model, r).log_prob(x[r]).mean() for r in REPLICAS])
    # The bound of 50 samples is low by Var(w) / 100, w the weights, whose variance is below 1.
    nll = torch.stack(draws["nll"])
    error = nll.std(0) / math.sqrt(SEEDS)
    assert (nll.mean(0) > true_nll - 4 * error).all()
    assert (nll.mean(0) < true_nll + 4 * error + 0.01).all()


def test_likelihood_of_some_images_is_that_of_the_first():
    method = method_of("density")
    x = images(method.model, 12)
    nll = []
    for shown, asked in ((x, {"importance_images": 5}), (x[:, :5], {})):
        streams = Streams(3, REPLICAS, "test")
        metrics, _ = sampled_metrics(method, shown, [x], {"importance_samples": 6} | asked, streams)
        nll.append(metrics["nll"].replicas)
    assert nll[0] == nll[1]


def test_standard_error_over_images_is_the_spread_of_means_of_fresh_images():
    replicas, count = 2000, 50
    torch.manual_seed(0)
    metric = over_images(3 + 2 * torch.randn(replicas, count))
    means, errors = torch.tensor(metric.replicas), torch.tensor(metric.standard_error)
    # Relative standard error of a deviation: 1 / √(2 · 2000) for the spread, less for the errors.
    assert abs(errors.square().mean().sqrt() / means.std() - 1) < 5 / math.sqrt(2 * replicas)
    assert abs(means.mean() - 3) < 5 * 2 / math.sqrt(replicas * count)


def test_interpolations_begin_and_end_in_the_reconstructions_of_their_pair():
    """A linear decoder of evenly spaced codes gives evenly spaced images."""
    model = linear_gaussian().requires_grad_(False)
    x = images(model)
    streams = Streams(1, REPLICAS, "test")
    lines = torch.from_numpy(interpolations(model, x, 3, streams)).float()
    again = Streams(1, REPLICAS, "test")
    codes = model.encode(x[:, :6], again)
    ends = model.decode(codes)[0].unflatten(0, (3, 2))
    rounding = torch.finfo(torch.half).eps / 2 * float(ends.abs().max())
    torch.testing.assert_close(lines[:, 0], ends[:, 0], rtol=1e-6, atol=rounding)
    torch.testing.assert_close(lines[:, -1], ends[:, 1], rtol=1e-6, atol=rounding)
    steps = lines.diff(dim=1)
    # Either step is the difference of two rounded numbers.
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps), rtol=1e-4, atol=4 * rounding)
