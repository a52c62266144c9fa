"""Posteriors on a plane, against those of linear-Gaussian models, which are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from truths import (
    aim_encoder,
    encoder_density,
    linear_gaussian,
    marginal,
    posterior,
    settings,
)

from aebayes.evaluation.posteriors import (
    CODES,
    IMAGES,
    SIDE,
    black_box_posterior_arrays,
    posterior_arrays,
)
from aebayes.evaluation.units import one_replica
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams

REPLICAS = [0, 1]
LIKELIHOOD_SDS = (0.7, 0.01)


def model_of(likelihood_sd: float, shift: float = 0.0) -> AutoEncoder:
    """A linear-Gaussian model whose q is 1.2 times too wide, and `shift` off along z₁."""
    model = linear_gaussian()
    model.likelihood.sd = likelihood_sd
    with torch.no_grad():
        for replica in REPLICAS:
            aim_encoder(model, replica)
        model.encoder.network.layers[-1].bias[:, 0, 0] += shift
    return model


def images(model: AutoEncoder) -> torch.Tensor:
    """More images than are shown, each replica's own: (R, N, X)."""
    torch.manual_seed(0)
    return torch.stack([marginal(model, replica).sample((IMAGES + 3,)) for replica in REPLICAS])


def arrays_of(model: AutoEncoder, k: int, seed: int = 0) -> dict[str, np.ndarray]:
    """What the figure is drawn from."""
    method = SimpleNamespace(model=model)
    return posterior_arrays(method, images(model), k, Streams(seed, REPLICAS, "test"))


def points_of(arrays: dict[str, np.ndarray], image: int) -> torch.Tensor:
    """The window's points, (G, G, 2), as its axes say."""
    first, second = torch.tensor(arrays["posterior_axes"][image])
    return torch.stack(torch.meshgrid(first, second, indexing="ij"), -1).float()


def cells_of(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Area of a cell of each window, (n, 1, 1)."""
    axes = arrays["posterior_axes"]
    return np.prod(axes[:, :, 1] - axes[:, :, 0], -1)[:, None, None]


@pytest.mark.parametrize("likelihood_sd", LIKELIHOOD_SDS)
def test_posterior_and_encoder_are_the_first_replicas_exact_ones(likelihood_sd: float) -> None:
    model = model_of(likelihood_sd)
    x, arrays = images(model), arrays_of(model, 3)
    np.testing.assert_array_equal(arrays["posterior_images"], x[0, :IMAGES])
    truth = posterior(model, 0, x[0, :IMAGES])
    q = encoder_density(model.encoder, x)
    for image in range(IMAGES):
        points = points_of(arrays, image)
        exact = truth.log_prob(points.unsqueeze(2))[:, :, image].numpy()
        encoder = Independent(Normal(q.mean[0, image], q.stddev[0, image]), 1).log_prob(points)
        near = exact > exact.max() - 12  # beyond, float32 of a narrow density has its round-off
        for name, expected in (("log_p", exact), ("log_q", encoder.detach().numpy())):
            found = arrays[f"posterior_{name}"][image]
            np.testing.assert_allclose(found[near], expected[near], atol=0.02)


@pytest.mark.parametrize("likelihood_sd", LIKELIHOOD_SDS)
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_divergence_of_the_encoder_is_the_closed_form(likelihood_sd: float, shift: float) -> None:
    model = model_of(likelihood_sd, shift * likelihood_sd)
    x, arrays = images(model), arrays_of(model, 3)
    mean, log_sd = model.encoder.moments(x)
    q = torch.distributions.MultivariateNormal(mean[0], torch.diag_embed((2 * log_sd[0]).exp()))
    exact = kl_divergence(q, posterior(model, 0, x[0]))[:IMAGES].detach()
    np.testing.assert_allclose(arrays["posterior_kl_q"], exact, rtol=2e-3, atol=2e-3)
    assert exact.min() > 0.03


def test_windows_hold_an_encoder_beyond_the_prior() -> None:
    arrays = arrays_of(model_of(0.7, 9.0), 3)
    assert (arrays["posterior_axes"][:, 0, -1] > 8).all()
    np.testing.assert_allclose(arrays["posterior_mass_q"], 1, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 50])
def test_all_densities_integrate_to_one_in_their_windows(k: int) -> None:
    arrays = arrays_of(model_of(0.7), k)
    for name in ("log_p", "log_q", "log_q_iw"):
        total = (np.exp(arrays[f"posterior_{name}"].astype(float)) * cells_of(arrays)).sum((1, 2))
        np.testing.assert_allclose(total, 1, atol=1e-5)
    np.testing.assert_allclose(arrays["posterior_mass_q"], 1, atol=1e-5)
    # Before it is normalised by chance alone: 400 sets, and a relative deviation below 1/2.
    np.testing.assert_allclose(arrays["posterior_mass_q_iw"], 1, atol=0.1 if k > 1 else 1e-5)


def test_resampling_one_code_leaves_the_encoder_as_it_is() -> None:
    arrays = arrays_of(model_of(0.7), 1)
    np.testing.assert_allclose(
        arrays["posterior_log_q_iw"], arrays["posterior_log_q"], rtol=1e-5, atol=1e-4
    )
    np.testing.assert_allclose(
        arrays["posterior_kl_q_iw"], arrays["posterior_kl_q"], rtol=1e-5, atol=1e-6
    )


def test_resampled_density_approaches_the_posterior_as_k_grows() -> None:
    model = model_of(0.7, 0.5)
    divergences = [arrays_of(model, k)["posterior_kl_q_iw"] for k in (1, 4, 40)]
    assert (np.diff(divergences, axis=0) < 0).all()
    assert (divergences[-1] < 0.05 * divergences[0]).all()


def test_resampled_density_has_the_moments_of_codes_that_were_resampled() -> None:
    k, draws = 3, 200_000
    model = model_of(0.7, 0.8)
    arrays = arrays_of(model, k)
    torch.manual_seed(1)
    x = images(model)[:, :1].expand(-1, draws, -1)
    noise = torch.randn(2, k, draws, 2)
    with torch.no_grad():
        chosen = model.log_weights(x, noise).softmax(1)[0].T.multinomial(1)  # (draws, 1)
        codes = model.encoder.posterior(x).transform(noise)[0][0].transpose(0, 1)
    resampled = codes.gather(1, chosen.unsqueeze(-1).expand(-1, 1, 2))[:, 0]
    weights = torch.tensor(np.exp(arrays["posterior_log_q_iw"][0]) * cells_of(arrays)[0])
    points = points_of(arrays, 0).flatten(0, 1)
    weights = weights.flatten().float()
    mean = (weights.unsqueeze(-1) * points).sum(0)
    covariance = torch.cov(points.T, aweights=weights / weights.sum(), correction=0)
    # 400 sets: the density's own chance is the larger part of the error.
    torch.testing.assert_close(mean, resampled.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(covariance, torch.cov(resampled.T), atol=0.02, rtol=0)
    assert (resampled.mean(0) - model.encoder.posterior(x).mean[0, 0]).abs().max() > 0.1


def test_shapes_are_the_documented_ones() -> None:
    arrays = arrays_of(model_of(0.7), 4)
    assert arrays["posterior_k"] == 4
    assert {name: array.shape for name, array in arrays.items()} == {
        "posterior_k": (1,),
        "posterior_images": (IMAGES, 4),
        "posterior_axes": (IMAGES, 2, SIDE),
        **{f"posterior_log_{name}": (IMAGES, SIDE, SIDE) for name in ("p", "q", "q_iw")},
        **{
            f"posterior_{kind}_{name}": (IMAGES,)
            for kind in ("kl", "mass")
            for name in ("q", "q_iw")
        },
    }


def test_black_box_is_shown_by_its_codes_and_its_divergence_is_the_closed_form() -> None:
    """An affine encoder fed with noise: q(z|x) is Gaussian, which its codes alone can say."""
    model = linear_gaussian("noise")
    (layer,) = model.encoder.network.layers
    with torch.no_grad():
        layer.bias += 0.4
    x = images(model)
    arrays = black_box_posterior_arrays(SimpleNamespace(model=model), x, Streams(0, REPLICAS, "t"))
    zero = torch.zeros(len(REPLICAS), x.shape[1], model.encoder.noise)
    with torch.no_grad():
        mean = model.encoder(x, zero)[0, :IMAGES]
        units = torch.eye(model.encoder.noise).unsqueeze(1).expand(-1, x.shape[1], -1)
        steps = model.encoder(x, units.expand(len(REPLICAS), *units.shape))[0, :, :IMAGES] - mean
        covariance = torch.einsum("nbi,nbj->bij", steps, steps)
        q = torch.distributions.MultivariateNormal(mean, covariance)
        exact = kl_divergence(q, posterior(model, 0, x[0, :IMAGES]))
    assert exact.min() > 0.1
    # Of either average over codes: that of log q's own entropy, and of log p(z|x).
    np.testing.assert_allclose(arrays["posterior_kl_q"], exact, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(arrays["posterior_mass_q"], 1, atol=1e-3)
    density = np.exp(arrays["posterior_log_q"].astype(float))
    np.testing.assert_allclose((density * cells_of(arrays)).sum((1, 2)), 1, rtol=1e-5)
    for image in range(IMAGES):
        points = points_of(arrays, image)
        expected = q.log_prob(points.unsqueeze(2))[:, :, image].exp().numpy()
        cell = cells_of(arrays)[image, 0, 0]
        # The Gaussian of one point's deviation stands for about 4 π points' codes.
        error = np.sqrt(expected.max() / (4 * np.pi * cell * CODES))
        assert abs(density[image] - expected).mean() < error + 0.05 * expected.max()


BASIS = {"kind": "basis_noise", "basis": 3, "noise": 2, "basis_hidden": [4]}
FLOW = {"kind": "flow", "flows": 2, "flow_hidden": [6], "context": 3}


@pytest.mark.parametrize("kind", [BASIS, FLOW, FLOW | {"flow_hidden": []}])
def test_one_replica_makes_that_replicas_codes(kind: dict) -> None:
    encoder = kind | {"hidden": [5], "activation": "tanh"}
    model = AutoEncoder(settings("gaussian", 2) | {"encoder": encoder}, (4,), len(REPLICAS))
    initialise(model, "glorot_uniform", Streams(7, REPLICAS, "initialisation"))
    streams = Streams(0, REPLICAS, "test")
    x, noise = streams.uniform(6, 4), streams.normal(6, model.encoder.noise)
    alone = one_replica(model, 1)
    with torch.no_grad():
        torch.testing.assert_close(alone.encoder(x[1:], noise[1:]), model.encoder(x, noise)[1:])
    arrays = black_box_posterior_arrays(SimpleNamespace(model=model), x, Streams(0, REPLICAS, "t"))
    assert np.isfinite(arrays["posterior_kl_q"]).all()
