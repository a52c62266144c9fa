import math

import pytest
import torch
from truths import settings

from aebayes.methods.aae import AAE, GENERATOR_LOSSES
from aebayes.streams import Streams


@pytest.mark.parametrize("name", list(GENERATOR_LOSSES))
def test_every_generator_loss_pushes_the_logit_of_a_code_down(name):
    t = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    gradient = torch.autograd.grad(GENERATOR_LOSSES[name](t).sum(), t)[0]
    assert (gradient > 0).all()


def test_phases_are_the_papers_and_update_what_they_say():
    experiment = {
        "model": settings("deterministic", 2),
        "adversary": {"hidden": [4], "activation": "relu"},
        "objective": {"generator_loss": "non_saturating"},
    }
    method = AAE(experiment, 4, 1)
    phases = {phase.name: set(map(id, phase.parameters())) for phase in method.phases()}
    assert list(phases) == ["reconstruction", "discriminator", "generator"]
    assert phases["generator"] < phases["reconstruction"]
    assert phases["discriminator"] == set(map(id, method.adversary.parameters()))


def test_true_log_ratio_is_stationary_for_the_discriminator(monkeypatch):
    """Codes from N(1, 1): log q(z) − log p(z) = z − 1/2, which an affine T can be."""
    experiment = {
        "model": settings("deterministic", 1),
        "adversary": {"hidden": [], "activation": "relu"},
        "objective": {"generator_loss": "kl"},
    }
    method = AAE(experiment, 4, 1)
    method.model.encoder.noise = 1
    monkeypatch.setattr(method.model.encoder, "forward", lambda x, noise: 1 + noise)
    discriminator = method.phases()[1]
    layer = method.adversary.network.layers[-1]

    def gradients(slope, intercept):
        with torch.no_grad():
            layer.weight.fill_(slope)
            layer.bias.fill_(intercept)
        draws = []
        for seed in range(16):
            loss = discriminator(torch.zeros(1, 2000, 4), Streams(seed, [0], "test"))
            gradient = torch.autograd.grad(loss.sum(), [layer.weight, layer.bias])
            draws.append(torch.stack(gradient).flatten())
        draws = torch.stack(draws)
        return draws.mean(0), draws.std(0) / math.sqrt(len(draws))

    at_truth, error = gradients(1.0, -0.5)
    assert (at_truth.abs() < 4 * error).all()
    # At T = 0 the slope's gradient is (E_p z − E_q z) / 2: descent raises D on the codes.
    at_zero, error = gradients(0.0, 0.0)
    assert ((at_zero - torch.tensor([-0.5, 0.0])).abs() < 4 * error + 1e-6).all()
