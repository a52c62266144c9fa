"""Models whose marginal likelihood and posterior are known in closed form."""

import torch

from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams


def settings(kind: str, latent: int, hidden: list[int] | None = None, **model: object) -> dict:
    """An experiment's `model` with a Gaussian likelihood, affine unless `hidden` says otherwise."""
    layers = {"hidden": hidden or [], "activation": "tanh"}
    encoder = {"kind": kind, **layers} | ({"noise": latent} if kind == "noise" else {})
    return {
        "latent": latent,
        "encoder": encoder,
        "decoder": layers,
        "likelihood": "gaussian",
        "likelihood_sd": 0.7,
        "initialisation": "glorot_uniform",
        "output_bias": "zero",
    } | model


def linear_gaussian(kind: str = "gaussian", replicas: int = 2, latent: int = 2) -> AutoEncoder:
    """p(x|z) = N(Wz + b, 0.49 I) over 4 pixels, with an affine encoder of the given kind.

    A Gaussian encoder has the posterior's mean, and deviations a fifth larger than its own; any
    other kind is left as it was initialised.
    """
    model = AutoEncoder(settings(kind, latent), 4, replicas)
    initialise(model, "glorot_uniform", Streams(7, range(replicas), "initialisation"))
    with torch.no_grad():
        model.decoder.layers[-1].bias.fill_(0.3)
        if kind == "gaussian":
            for replica in range(replicas):
                aim_encoder(model, replica)
    return model


def aim_encoder(model: AutoEncoder, replica: int) -> None:
    """Give a Gaussian encoder the exact posterior's mean, and 1.2 times its deviations."""
    layer = model.encoder.network.layers[-1]
    origin = posterior(model, replica, torch.zeros(1, 4))
    units = posterior(model, replica, torch.eye(4))
    deviations = origin.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt()
    layer.weight[replica, :, : model.latent] = units.mean - origin.mean
    layer.weight[replica, :, model.latent :] = 0
    layer.bias[replica, 0, : model.latent] = origin.mean[0]
    layer.bias[replica, 0, model.latent :] = (1.2 * deviations).log().squeeze(0)


def marginal(model: AutoEncoder, replica: int) -> torch.distributions.MultivariateNormal:
    """p(x) of a linear-Gaussian model: N(b, WᵀW + σ²I)."""
    layer = model.decoder.layers[-1]
    weight, bias = layer.weight[replica].detach(), layer.bias[replica, 0].detach()
    covariance = weight.T @ weight + model.likelihood.sd**2 * torch.eye(weight.shape[1])
    return torch.distributions.MultivariateNormal(bias, covariance)


def posterior(
    model: AutoEncoder, replica: int, x: torch.Tensor
) -> torch.distributions.MultivariateNormal:
    """p(z|x) of a linear-Gaussian model, for images x (B, X)."""
    layer = model.decoder.layers[-1]
    weight, bias = layer.weight[replica].detach(), layer.bias[replica, 0].detach()
    variance = model.likelihood.sd**2
    precision = torch.eye(weight.shape[0]) + weight @ weight.T / variance
    mean = (x - bias) @ weight.T @ torch.linalg.inv(precision) / variance
    return torch.distributions.MultivariateNormal(mean, precision_matrix=precision)
