import pytest
import torch
from truths import elbo, expected_log_likelihood, linear_gaussian, settings, unlabelled

from aebayes.methods.vae import VAE
from aebayes.streams import Streams

X = torch.tensor([[0.2, 0.9, -0.5, 0.3], [1.0, -0.2, 0.4, 0.1]])


def vae(kl, samples):
    experiment = {
        "model": settings("gaussian", 2),
        "objective": {"kl": kl, "samples": samples},
    }
    method = VAE(experiment, (4,), 2)
    method.model = linear_gaussian()
    return method


def check(kl, warm_up=0.0, progress=0.0, weight=1.0):
    method = vae(kl, samples=500)
    method.warm_up = warm_up
    x = X.expand(2, -1, -1)
    batch = unlabelled(x)._replace(progress=torch.tensor(progress))
    with torch.no_grad():
        losses = torch.stack(
            [method.phases()[0](batch, Streams(s, [0, 1], "test")) for s in range(16)]
        )
        explained = expected_log_likelihood(method.model, x)
        truth = (explained - weight * (explained - elbo(method.model, x))).mean(1)
    error = losses.std(0) / 4
    assert ((-losses.mean(0) - truth).abs() < 4 * error).all()


def test_bound_with_analytic_kl_is_the_closed_form_of_a_linear_gaussian_model():
    check("analytic")


def test_monte_carlo_bound_is_the_closed_form_of_a_linear_gaussian_model():
    check("monte_carlo")


def test_monte_carlo_bound_has_no_variance_where_q_is_the_posterior():
    method = vae("monte_carlo", samples=4)
    with torch.no_grad():  # a decoder blind to z makes the prior the posterior
        method.model.decoder.layers[-1].weight.zero_()
        for parameter in method.model.encoder.parameters():
            parameter.zero_()
        losses = [
            method.phases()[0](unlabelled(X.expand(2, -1, -1)), Streams(s, [0, 1], "t"))
            for s in range(3)
        ]
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)])
def test_warm_up_weighs_the_divergence_by_the_share_of_it_that_is_over(kl, progress, weight):
    check(kl, 0.4, progress, weight)
