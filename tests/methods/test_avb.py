"""Propositions 1 and 2 of the AVB paper, on Gaussians where the optimal T is known."""

import copy
import math

import pytest
import torch
from truths import LogRatio, elbo, expected_log_likelihood, linear_gaussian, settings, unlabelled

from aebayes.methods.avb import AVB
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


def test_discriminator_recovers_log_density_ratio(monkeypatch):
    experiment = {
        "model": settings("noise", 1),
        "adversary": {"hidden": [32, 32], "activation": "elu", "features": 16},
    }
    method = AVB(experiment, (1,), 1)
    torch.manual_seed(0)
    for parameter in method.adversary.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    method.model.encoder.noise = 1
    monkeypatch.setattr(method.model.encoder, "forward", known_q)
    adversary = method.phases()[1]
    streams = Streams(0, [0], "test")
    x = X.repeat(1, 256, 1)
    optimiser = torch.optim.Adam(method.adversary.parameters(), lr=5e-3)
    steps = 1200
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        optimiser.zero_grad()
        adversary(unlabelled(x), streams).sum().backward()
        optimiser.step()
    with torch.no_grad():
        x = X.repeat(1, 2000, 1)
        z = known_q(x, streams.normal(*x.shape[1:]))
        difference = method.adversary(x, z) - optimal_t(x, z)
    assert difference.square().mean().sqrt() < 0.1
    assert optimal_t(x, z).std() > 0.4  # what it had to find was not flat


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
