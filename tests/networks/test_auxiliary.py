"""The encoder with an auxiliary variable, against models where all its densities are known."""

import math

import pytest
import torch
from truths import (
    aim_guess,
    elbo,
    linear_gaussian,
    marginal,
    marginal_encoder,
    through_auxiliary,
    unlabelled,
)

from aebayes.evaluation.likelihood import log_likelihood_bound
from aebayes.evaluation.proposals import Proposal
from aebayes.evaluation.units import one_replica
from aebayes.methods.iwae import IWAE
from aebayes.methods.vae import VAE
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams

REPLICAS = [0, 1]
X = torch.tensor([[0.2, 0.9, -0.5, 0.3], [1.0, -0.2, 0.4, 0.1]]).expand(2, -1, -1)
MODEL = {
    "latent": 2,
    "encoder": {"kind": "auxiliary", "auxiliary": 3, "hidden": [8], "activation": "tanh"},
    "decoder": {"hidden": [8], "activation": "tanh"},
    "likelihood": "bernoulli",
    "initialisation": "glorot_uniform",
    "output_bias": "zero",
}


def streams(seed=0):
    return Streams(seed, REPLICAS, "test")


def initialised():
    model = AutoEncoder(MODEL, (4,), 2)
    initialise(model, "glorot_uniform", Streams(3, REPLICAS, "initialisation"))
    return model


def test_auxiliary_that_nothing_depends_on_leaves_every_weight_as_it_was():
    plain, model = linear_gaussian(), through_auxiliary()
    noise = model.noise(streams(), 6, 2)
    torch.testing.assert_close(
        model.log_weights(X, noise), plain.log_weights(X, noise[..., 1:]), atol=1e-5, rtol=1e-5
    )


def test_bound_of_an_auxiliary_that_nothing_depends_on_is_the_elbo():
    method = VAE({"model": MODEL, "objective": {"kl": "monte_carlo", "samples": 500}}, (4,), 2)
    method.model = through_auxiliary()
    with torch.no_grad():
        losses = torch.stack(
            [method.phases()[0](unlabelled(X), streams(seed)) for seed in range(16)]
        )
        truth = elbo(linear_gaussian(), X).mean(1)
    assert ((-losses.mean(0) - truth).abs() < 4 * losses.std(0) / 4).all()


def test_codes_have_the_moments_of_the_marginal_of_z():
    model, samples = through_auxiliary(coupling=1.0), 20000
    with torch.no_grad():
        codes = model.encoder(X, model.noise(streams(), samples, 2))  # (R, S, B, 2)
    for replica in REPLICAS:
        q = marginal_encoder(model, replica, X[replica])
        correlation = q.covariance_matrix[0, 0, 1] / q.variance[0].prod().sqrt()
        assert correlation.abs() > 0.2  # no diagonal Gaussian
        error = (q.variance / samples).sqrt()
        assert ((codes[replica].mean(0) - q.mean).abs() < 5 * error).all()
        for image in range(2):
            found = torch.cov(codes[replica, :, image].T)
            error = torch.outer(q.variance[image], q.variance[image]).mul(2 / samples).sqrt()
            assert ((found - q.covariance_matrix[image]).abs() < 5 * error).all()


def test_exact_guess_of_the_auxiliary_makes_the_marginals_own_weights():
    model = through_auxiliary(coupling=1.0)
    with torch.no_grad():
        for replica in REPLICAS:
            aim_guess(model, replica)
        z, log_q = model.encoder.posterior(X).transform(model.noise(streams(), 50, 2))
    for replica in REPLICAS:
        truth = marginal_encoder(model, replica, X[replica]).log_prob(z[replica])
        torch.testing.assert_close(log_q[replica], truth, atol=1e-4, rtol=1e-4)


def test_wrong_guess_of_the_auxiliary_costs_its_divergence_from_the_exact_one():
    exact, wrong = through_auxiliary(coupling=1.0), through_auxiliary(coupling=1.0)
    noise = exact.noise(streams(), 4000, 2)
    with torch.no_grad():
        for replica in REPLICAS:
            aim_guess(exact, replica)
        _, z, _ = exact.encoder.posterior(X).draw(noise)
        p, r = exact.encoder.guess(X, z), wrong.encoder.guess(X, z)
        between = torch.distributions.kl_divergence(
            torch.distributions.Normal(p.mean, p.log_sd.exp()),
            torch.distributions.Normal(r.mean, r.log_sd.exp()),
        ).squeeze(-1)  # given each z, (R, S, B)
        costs = exact.log_weights(X, noise) - wrong.log_weights(X, noise)
    difference = costs - between
    assert (between.mean(1) > 0.05).all()
    error = difference.std(1) / math.sqrt(len(difference[0]))
    assert (difference.mean(1).abs() < 5 * error).all()


def test_bound_of_many_samples_approaches_the_likelihood_though_the_guess_is_wrong():
    model = through_auxiliary(coupling=1.0)
    with torch.no_grad():
        for replica in REPLICAS:
            aim_guess(model, replica)
        # Half a deviation beside the exact one, and narrower, so that weights stay bounded.
        model.encoder.of_code.layers[-1].bias += torch.tensor([0.3, math.log(0.7)])
    torch.manual_seed(0)
    x = torch.stack([marginal(model, r).sample((20,)) for r in REPLICAS])
    proposal = Proposal(x, model.encoder.noise, model.log_weights)
    bounds = {
        k: torch.stack([log_likelihood_bound(proposal, k, streams(seed)) for seed in range(8)])
        for k in (1, 20, 5000)
    }
    truth = torch.stack([marginal(model, r).log_prob(x[r]) for r in REPLICAS]).double()
    gaps = {k: (truth - bound).mean((0, 2)) for k, bound in bounds.items()}
    errors = {k: bound.mean(2).std(0) / math.sqrt(8) for k, bound in bounds.items()}
    assert (gaps[1] > gaps[20] + 4 * errors[1]).all()
    assert (gaps[20] > 0).all()
    assert (gaps[5000].abs() < 4 * errors[5000] + 0.01).all()


@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        (VAE, {"kl": "monte_carlo", "samples": 2}),
        (IWAE, {"samples": 4, "weighting": "importance", "gradient": "standard", "draws": 2}),
    ],
)
def test_bound_trains_every_net_and_no_replica_depends_on_the_other(kind, objective):
    method = kind({"model": MODEL, "objective": objective}, (4,), 2)
    initialise(method, "glorot_uniform", Streams(3, REPLICAS, "initialisation"))
    (phase,) = method.phases()
    loss = phase(unlabelled(X), streams())
    gradients = torch.autograd.grad(loss[0], phase.parameters())
    for gradient in gradients:
        assert gradient[0].abs().sum() > 0
        assert gradient[1].abs().sum() == 0


def test_replica_alone_weighs_as_beside_another():
    model = initialised()
    noise = model.noise(streams(), 5, 2)
    for replica in REPLICAS:
        part = slice(replica, replica + 1)
        torch.testing.assert_close(
            one_replica(model, replica).log_weights(X[part], noise[part]),
            model.log_weights(X, noise)[part],
        )


def test_codes_are_those_that_their_weights_are_of():
    model = initialised()
    noise = model.noise(streams(), 5, 2)
    z, _ = model.encoder.posterior(X).transform(noise)
    torch.testing.assert_close(z, model.encoder(X, noise))
    assert z.shape == (2, 5, 2, 2)
