"""Propositions 1 and 2 of the AVB paper, on Gaussians where the optimal T is known."""

import copy
import math

import pytest
import torch
from truths import LogRatio, elbo, expected_log_likelihood, linear_gaussian, settings, unlabelled

from aebayes.methods.avb import AVB
from aebayes.methods.avb_restricted import RestrictedAVB
from aebayes.networks.initialise import initialise
from aebayes.networks.normal import log_normal, log_standard_normal
from aebayes.streams import Streams

MEAN, LOG_SD = 0.7, math.log(0.6)
X = torch.tensor([[[-1.0], [1.0]]])  # q(z|x) = N(0.7 x, 0.6²): (R=1, B=2, X=1)


def known_q(x, noise):
    """Codes from q(z|x) = N(0.7 x, 0.6²) in the place of an encoder."""
    return MEAN * x + math.exp(LOG_SD) * noise


def optimal_t(x, z):
    log_sd = torch.full_like(z, LOG_SD)
    return log_normal(z, (MEAN * x).expand_as(z), log_sd) - log_standard_normal(z)


def teach_adversary(method, x, streams, steps=1200):
    """Descend the adversary's loss alone, its rate falling to 0, on images x (R, B, X)."""
    adversary = method.phases()[1]
    optimiser = torch.optim.Adam(method.adversary.parameters(), lr=5e-3)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        optimiser.zero_grad()
        adversary(unlabelled(x), streams).sum().backward()
        optimiser.step()


def of_known_q(monkeypatch, kind, objective):
    """A method whose codes are from q(z|x), and whose T has been taught."""
    experiment = {
        "model": settings("noise", 1),
        "objective": objective,
        "adversary": {"hidden": [32, 32], "activation": "elu", "features": 16},
    }
    method = kind(experiment, (1,), 1)
    torch.manual_seed(0)
    for parameter in method.adversary.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    method.model.encoder.noise = 1
    monkeypatch.setattr(method.model.encoder, "forward", known_q)
    teach_adversary(method, X.repeat(1, 256, 1), Streams(0, [0], "test"))
    return method


@pytest.mark.parametrize("loss", ["logistic", "f_divergence"])
def test_discriminator_recovers_log_density_ratio(monkeypatch, loss):
    """Proposition 1, and its like for the objective 5.10, whose optimum is one higher."""
    method = of_known_q(monkeypatch, AVB, {"adversary_loss": loss})
    streams = Streams(1, [0], "test")
    with torch.no_grad():
        x = X.repeat(1, 2000, 1)
        z = known_q(x, streams.normal(*x.shape[1:]))
        difference = method.log_ratio(x, z) - optimal_t(x, z)
    assert difference.square().mean().sqrt() < 0.1
    assert optimal_t(x, z).std() > 0.4  # what it had to find was not flat


def test_t_that_sees_codes_alone_recovers_the_aggregated_posteriors_log_ratio(monkeypatch):
    """Section 5.2: T*(z) = log q(z) − log p(z), q(z) here a mixture of two Gaussians."""
    method = of_known_q(monkeypatch, RestrictedAVB, {})
    streams = Streams(1, [0], "test")
    with torch.no_grad():
        x = X.repeat(1, 2000, 1)
        z = known_q(x, streams.normal(*x.shape[1:]))
        log_sd = torch.full_like(z, LOG_SD)
        parts = [log_normal(z, torch.full_like(z, MEAN * each), log_sd) for each in (-1.0, 1.0)]
        aggregated = torch.logsumexp(torch.stack(parts), 0) - math.log(2)
        truth = aggregated - log_standard_normal(z)
        difference = method.log_ratio(x, z) - truth
        other = method.log_ratio(-x, z)
    assert difference.square().mean().sqrt() < 0.1
    assert truth.std() > 0.1  # what it had to find was not flat
    assert torch.equal(other, method.log_ratio(x, z))


def test_gradient_of_the_optimal_discriminator_has_no_expectation():
    """Proposition 2: E_q[∇_φ T*(x, z)] = 0, the gradient through T's own parameters alone."""
    n = 200_000
    streams = Streams(0, [0], "test")
    x = X.repeat(1, n // 2, 1)
    z = known_q(x, streams.normal(*x.shape[1:]))
    mean = (MEAN * x).expand_as(z).clone().requires_grad_()
    log_sd = torch.full_like(z, LOG_SD).requires_grad_()
    t = log_normal(z, mean, log_sd) - log_standard_normal(z)
    for gradient in torch.autograd.grad(t.sum(), [mean, log_sd]):
        values = gradient.flatten()
        assert values.std() > 0.5
        assert values.mean().abs() < 4 * values.std() / math.sqrt(n)


def test_bound_phase_leaves_the_adversary_alone_and_the_other_way_round():
    experiment = {
        "model": settings("noise", 1),
        "adversary": {"hidden": [4], "activation": "relu", "features": 4},
    }
    method = AVB(experiment, (1,), 1)
    bound, adversary = (
        {id(parameter) for parameter in phase.parameters()} for phase in method.phases()
    )
    assert not bound & adversary
    assert bound | adversary == {id(parameter) for parameter in method.parameters()}


SLOPE = torch.tensor([0.8, -1.3])
IMAGES = torch.tensor([[0.2, 0.9, -0.5, 0.3], [1.0, -0.2, 0.4, 0.1]])
COPIES, SEEDS = 500, 16


class Slope(torch.nn.Module):
    """T(x, z) = ⟨c, z⟩."""

    def forward(self, x, z):
        return z @ SLOPE


def linear_gaussian_avb(adversary=None):
    """AVB of a linear-Gaussian model with a known encoder; `adversary` in the place of its own."""
    experiment = {
        "model": settings("gaussian", 2),
        "adversary": {"hidden": [4], "activation": "tanh", "features": 4},
    }
    method = AVB(experiment, (4,), 2)
    method.model = linear_gaussian()
    method.adversary = adversary or LogRatio(method.model.encoder)
    return method


def bound_losses(method):
    """The bound phase's loss and its gradient in the encoder's layer, (R,) and (R, 5, 4).

    Each is given as mean over SEEDS draws and standard error of that mean.
    """
    layer = method.model.encoder.network.layers[-1]
    x = IMAGES.repeat(COPIES, 1).expand(2, -1, -1)
    losses, gradients = [], []
    for seed in range(SEEDS):
        loss = method.phases()[0](unlabelled(x), Streams(seed, [0, 1], "test"))
        losses.append(loss.detach())
        gradient = torch.autograd.grad(loss.sum(), [layer.weight, layer.bias])
        gradients.append(torch.cat(gradient, 1))
    return [
        (draws.mean(0), draws.std(0) / math.sqrt(SEEDS))
        for draws in (torch.stack(losses), torch.stack(gradients))
    ]


def check_bound(method, truth):
    """Loss and gradient are those of `truth`, (R,), which depends on the encoder."""
    layer = method.model.encoder.network.layers[-1]
    true_gradient = torch.cat(torch.autograd.grad(truth.sum(), [layer.weight, layer.bias]), 1)
    (loss, loss_error), (gradient, gradient_error) = bound_losses(method)
    assert ((loss - truth.detach()).abs() < 5 * loss_error + 1e-5).all()
    assert ((gradient - true_gradient).abs() < 5 * gradient_error + 1e-5).all()


def test_bound_loss_with_an_affine_t_is_its_closed_form_and_so_is_its_gradient():
    """Equation 3.7: E_q[⟨c, z⟩ − log p(x|z)] = ⟨c, μ(x)⟩ − E_q log p(x|z)."""
    method = linear_gaussian_avb(Slope())
    x = IMAGES.expand(2, -1, -1)
    mean, _ = method.model.encoder.moments(x)
    check_bound(method, (mean @ SLOPE - expected_log_likelihood(method.model, x)).mean(1))


@pytest.mark.parametrize("t_follows", [False, True])
def test_bound_gradient_at_the_optimal_t_is_the_elbos_whether_or_not_t_follows_the_encoder(
    t_follows,
):
    """Proposition 2, by the method's own loss."""
    method = linear_gaussian_avb()
    if not t_follows:
        method.adversary = copy.deepcopy(method.adversary)
    check_bound(method, -elbo(method.model, IMAGES.expand(2, -1, -1)).mean(1))


BASIS = {"basis": 2, "noise": 1, "basis_hidden": [], "hidden": [], "activation": "tanh"}


def contrasted(encoder=BASIS, adversary=(32, 32), replicas=1, **objective):
    """AVB with adaptive contrast on pairs of 4-pixel images, 2-D codes."""
    layers = {"hidden": list(adversary), "activation": "elu", "features": 16}
    experiment = {
        "model": settings("gaussian", 2) | {"encoder": {"kind": "basis_noise", **encoder}},
        "objective": {"adaptive_contrast": True, **objective},
        "adversary": layers,
    }
    method = AVB(experiment, (4,), replicas)
    initialise(method, "glorot_uniform", Streams(5, range(replicas), "initialisation"))
    return method


def test_moments_of_basis_noise_are_those_of_its_codes():
    method = contrasted(BASIS | {"basis_hidden": [8]})
    encoder = method.model.encoder
    count = 40_000
    x = IMAGES.unsqueeze(0)
    noise = Streams(0, [0], "test").normal(count, 2, encoder.noise)
    with torch.no_grad():
        codes = encoder(x, noise)[0]  # (S, B, Z)
        mean, log_sd = (moment[0] for moment in encoder.moments(x))
    sd = codes.std(0)
    # Beside the codes' own error, that of the 256 points which stand for all noise.
    assert ((codes.mean(0) - mean).abs() < 5 * sd / math.sqrt(count) + 0.02 * sd).all()
    assert ((sd / log_sd.exp() - 1).abs() < 5 / math.sqrt(2 * count) + 0.03).all()
    assert sd.min() > 0.05


def test_reference_with_correlations_makes_codes_white():
    method = contrasted(BASIS | {"basis_hidden": [8]}, contrast_correlations=True)
    encoder = method.model.encoder
    count = 40_000
    x = IMAGES.unsqueeze(0)
    noise = Streams(0, [0], "test").normal(count, 2, encoder.noise)
    with torch.no_grad():
        codes = encoder(x, noise)
        white = method.reference(x).standardised(codes)[0]  # (S, B, Z)
        alone = contrasted(BASIS | {"basis_hidden": [8]}).reference(x).standardised(codes)[0]
    for image in range(2):
        assert torch.corrcoef(alone[:, image].T)[0, 1].abs() > 0.2
        assert (torch.cov(white[:, image].T) - torch.eye(2)).abs().max() < 0.1
        assert white[:, image].mean(0).abs().max() < 0.05


@pytest.mark.parametrize("samples", [(), (7,)])
def test_density_of_the_reference_with_correlations_is_torchs(samples):
    method = contrasted(replicas=3, contrast_correlations=True)
    x = IMAGES.expand(3, -1, -1)
    r = method.reference(x)
    z = Streams(0, [0, 1, 2], "test").normal(*samples, 2, 2)
    with torch.no_grad():
        truth = torch.distributions.MultivariateNormal(*method.model.encoder.correlated_moments(x))
        expected = truth.log_prob(z.movedim(1, 0) if samples else z)
    expected = expected.movedim(0, 1) if samples else expected
    torch.testing.assert_close(r.log_prob(z), expected, rtol=1e-4, atol=1e-4)


def test_noise_reaches_every_code_through_every_function_of_the_basis():
    encoder = contrasted(BASIS | {"basis_hidden": [8]}).model.encoder
    noise = torch.zeros(1, 1, encoder.noise, requires_grad=True)
    for code in encoder(torch.ones(1, 1, 4), noise)[0, 0]:
        (slope,) = torch.autograd.grad(code, [noise], retain_graph=True)
        assert (slope.abs() > 1e-6).all()


@pytest.mark.parametrize("correlated", [False, True])
def test_t_under_adaptive_contrast_recovers_a_known_divergence(correlated):
    """q(z|x) is a Gaussian with correlations, r(z|x) one without: KL(q, r) = −½ log(1 − ρ²)."""
    method = contrasted(contrast_correlations=correlated)
    encoder = method.model.encoder
    x = IMAGES.repeat(200, 1).unsqueeze(0)  # (1, 400, 4)
    with torch.no_grad():
        _, scales = encoder.parts(IMAGES.unsqueeze(0))  # (1, 2, M, Z)
        (layer,) = encoder.of_noise.layers
        weights = scales[0].unsqueeze(-2) * layer.weight  # (B, M, N, Z)
        covariance = torch.einsum("bmni,bmnj->bij", weights, weights)
    correlation = covariance[:, 0, 1] / covariance.diagonal(dim1=1, dim2=2).prod(1).sqrt()
    without = (-0.5 * (1 - correlation.square()).log()).mean()
    assert without > 0.1
    truth = 0 if correlated else without
    streams = Streams(0, [0], "test")
    teach_adversary(method, x, streams)
    x = IMAGES.repeat(5000, 1).unsqueeze(0)
    with torch.no_grad():
        z = encoder(x, streams.normal(x.shape[1], encoder.noise))
        to_prior = method.log_ratio(x, z)
        r = method.reference(x)
        t = to_prior - r.log_prob(z) + log_standard_normal(z)
    assert (t.mean() - truth).abs() < 4 * t.std() / math.sqrt(t.numel()) + 0.05 * without
    # Against the prior the whole: KL(q, p) of those Gaussians.
    mean, _ = encoder.moments(IMAGES.unsqueeze(0))
    q = torch.distributions.MultivariateNormal(mean[0], covariance)
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    whole = torch.distributions.kl_divergence(q, prior).mean()
    assert (to_prior.mean() - whole).abs() < 4 * to_prior.std() / math.sqrt(t.numel()) + 0.05


def test_the_reference_takes_no_gradient_and_its_phases_keep_to_themselves():
    method = contrasted()
    bound, adversary = (
        {id(parameter) for parameter in phase.parameters()} for phase in method.phases()
    )
    assert not bound & adversary
    assert bound | adversary == {id(parameter) for parameter in method.parameters()}
    r = method.reference(IMAGES.unsqueeze(0))
    assert not r.mean.requires_grad
    assert not r.log_sd.requires_grad


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)])
def test_warm_up_weighs_the_log_ratio_by_the_share_of_it_that_is_over(progress, weight):
    method = linear_gaussian_avb(Slope())
    method.warm_up = 0.2
    x = IMAGES.expand(2, -1, -1)
    batch = unlabelled(x)._replace(progress=torch.tensor(progress))
    loss = method.phases()[0](batch, Streams(0, [0, 1], "test"))
    noise = Streams(0, [0, 1], "test").normal(2, 2)
    z = method.model.encoder(x, noise)
    expected = (weight * (z @ SLOPE) - method.model.log_likelihood(x, z)).mean(1)
    assert torch.allclose(loss, expected)
