"""GAN, GMMN+AE and the autoencoder with MMD: who learns from whom."""

import math

import pytest
import tiny
import torch
from truths import unlabelled

from aebayes.methods.gan import GAN, GENERATOR_LOSSES
from aebayes.methods.make import make_method
from aebayes.streams import Streams

PHASES = {
    "gan": {"discriminator": "adversary", "generator": "model"},
    "gmmn": {"reconstruction": "model.encoder model.decoder", "matching": "model.prior"},
    "ae_mmd": {
        "reconstruction": "model.encoder model.decoder",
        "matching": "model.encoder",
    },
}


def made(name: str):
    return make_method(tiny.experiment(name), torch.full((4,), 0.5), [0, 1], torch.device("cpu"))


@pytest.mark.parametrize("name", list(PHASES))
def test_phases_update_what_they_say_and_have_a_gradient_there(name):
    method = made(name)
    x = torch.rand(2, 8, 4, generator=torch.Generator().manual_seed(0))
    assert [phase.name for phase in method.phases()] == list(PHASES[name])
    for phase in method.phases():
        expected = {
            id(parameter)
            for network in PHASES[name][phase.name].split()
            for parameter in method.get_submodule(network).parameters()
        }
        assert set(map(id, phase.parameters())) == expected
        loss = phase(unlabelled(x), Streams(1, [0, 1], "test"))
        assert loss.shape == (2,)
        gradients = torch.autograd.grad(loss.sum(), phase.parameters())
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", list(GENERATOR_LOSSES))
def test_every_generator_loss_of_the_gan_pushes_the_logit_of_the_data_up(name):
    t = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    gradient = torch.autograd.grad(GENERATOR_LOSSES[name](t).sum(), t)[0]
    assert (gradient < 0).all()


def test_discriminator_that_cannot_tell_loses_two_log_2_and_the_generator_log_2():
    method = made("gan")
    for parameter in method.adversary.parameters():
        torch.nn.init.zeros_(parameter)
    x = unlabelled(torch.rand(2, 8, 4))
    discriminator, generator = method.phases()
    losses = discriminator(x, Streams(1, [0, 1], "test"))
    torch.testing.assert_close(losses, torch.full((2,), 2 * math.log(2)))
    torch.testing.assert_close(
        generator(x, Streams(1, [0, 1], "test")), torch.full((2,), -math.log(2))
    )  # minimax: log(1 − ½)


def test_optimal_discriminators_slope_vanishes_at_the_true_log_ratio(monkeypatch):
    """Data N(1, 1) against a generator's N(0, 1): log p(x) − log g(x) = x − ½."""
    experiment = tiny.experiment("gan")
    experiment["adversary"] = {"hidden": [], "activation": "tanh"}
    method = GAN(experiment, (1,), 1)
    monkeypatch.setattr(method.model, "decode", lambda z: z[..., :1])
    layer = method.adversary.layers[-1]
    gradients = []
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(-0.5)
    for seed in range(16):
        generator = torch.Generator().manual_seed(seed)
        x = unlabelled(1 + torch.randn(1, 2000, 1, generator=generator))
        loss = method.phases()[0](x, Streams(seed, [0], "test"))
        both = torch.autograd.grad(loss.sum(), [layer.weight, layer.bias])
        gradients.append(torch.stack([part.flatten() for part in both]).flatten())
    gradients = torch.stack(gradients)
    assert (gradients.mean(0).abs() < 4 * gradients.std(0) / 4).all()


def test_generator_without_an_encoder_decodes_draws_of_its_prior():
    method = made("gan")
    assert method.model.encoder is None
    samples = method.model.sample(Streams(3, [0, 1], "test"), 5)
    z = method.model.prior.sample(Streams(3, [0, 1], "test"), 5)
    assert samples.shape == (2, 5, 4)
    assert torch.equal(samples, method.model.decode(z))


def test_learned_prior_and_sigmoid_codes_lie_in_the_same_cube():
    model = made("gmmn").model
    for scale in (1.0, 50.0):
        codes = model.encoder(scale * torch.randn(2, 30, 4), torch.zeros(2, 30, 0))
        for z in (codes, model.prior.sample(Streams(1, [0, 1], "test"), 30)):
            assert z.shape == (2, 30, 2)
            assert ((z >= 0) & (z <= 1)).all()
