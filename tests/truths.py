"""Models whose marginal likelihood, posterior and bound are known in closed form."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from aebayes.methods.base import Batch
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams


def settings(kind: str, latent: int, hidden: list[int] | None = None, **model: object) -> dict:
    """An experiment's `model` with a Gaussian likelihood, affine unless `hidden` says otherwise."""
    layers = {"hidden": hidden or [], "activation": "tanh"}
    encoder = {"kind": kind, **layers} | ({"noise": latent} if kind == "noise" else {})
    if kind == "auxiliary":
        encoder |= {"auxiliary": 1, "hidden": [8], "activation": "relu"}
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
    model = AutoEncoder(settings(kind, latent), (4,), replicas)
    initialise(model, "glorot_uniform", Streams(7, range(replicas), "initialisation"))
    with torch.no_grad():
        model.decoder.layers[-1].bias.fill_(0.3)
        if kind == "gaussian":
            for replica in range(replicas):
                aim_encoder(model, replica)
    return model


def two_layers_apart(coupling: float = 0.0, replicas: int = 2) -> AutoEncoder:
    """`linear_gaussian` with a second layer of three units above its first.

    Without coupling z2 is independent of z1 and x under both p and q, and p(z1|z2) = N(0, I): the
    model's bound is the one-layer model's. Coupling is the deviation of the second layer's weights.
    """
    below = linear_gaussian("gaussian", replicas)
    affine = {"hidden": [], "activation": "tanh"}
    model = AutoEncoder(
        settings("two_layer", 2)
        | {
            "latent": [2, 3],
            "encoder": {"kind": "two_layer", **affine, "second": affine},
            "prior": affine,
        },
        (4,),
        replicas,
    )
    model.encoder.first.load_state_dict(below.encoder.state_dict())
    model.decoder.load_state_dict(below.decoder.state_dict())
    streams = Streams(11, range(replicas), "initialisation")
    with torch.no_grad():
        for network in (model.encoder.second.network, model.prior.network):
            (layer,) = network.layers
            layer.weight.copy_(coupling * streams.normal(*layer.weight.shape[1:]))
    return model


def through_auxiliary(coupling: float = 0.0, replicas: int = 2) -> AutoEncoder:
    """`linear_gaussian` whose q(z|x) goes through a, one number, and is a Gaussian still.

    q(a|x) = N(0.4, 0.6²); q(z|a, x) is the encoder of `linear_gaussian` at the image x + a c, c a
    random one of deviation `coupling`. r(a|z, x) is q(a) without coupling, else what it was
    initialised as; `aim_guess` makes it exact. Its ReLUs come in pairs that make straight lines.
    """
    below = linear_gaussian("gaussian", replicas)
    model = AutoEncoder(settings("auxiliary", 2), (4,), replicas)
    initialise(model, "glorot_uniform", Streams(5, range(replicas), "initialisation"))
    model.decoder.load_state_dict(below.decoder.state_dict())
    q = model.encoder
    direction = coupling * Streams(6, range(replicas), "initialisation").normal(1, 4)
    (affine,) = below.encoder.network.layers
    with torch.no_grad():
        straight(q.of_auxiliary, affine.weight, affine.bias, direction)
        for network in (q.of_image, q.of_code)[: 1 if coupling else 2]:
            straight(network, torch.zeros(replicas, 4, 2), torch.tensor([0.4, math.log(0.6)]))
    return model


def straight(network: nn.Module, weight: Tensor, bias: Tensor, side: Tensor | None = None) -> None:
    """Make a net of 8 ReLUs from 4 pixels affine, (x + s side) weight + bias, s its side input."""
    first, last = network.layers
    first.weight.copy_(torch.cat([torch.eye(4), -torch.eye(4)], -1).expand_as(first.weight))
    first.bias.zero_()
    last.weight.copy_(torch.cat([weight, -weight], 1))
    last.bias.copy_(bias.expand_as(last.bias))
    for projection in network.sides:
        projection.weight.zero_()
        if side is not None:
            projection.weight.copy_(torch.cat([side, -side], -1))


def marginal_encoder(model: AutoEncoder, replica: int, x: Tensor) -> MultivariateNormal:
    """q(z|x) of `through_auxiliary`, for images x (B, X)."""
    weight, bias, side = affine_of(model, replica)
    mean = (x + 0.4 * side) @ weight[:, :2] + bias[:2]
    way = side @ weight[:, :2]
    covariance = torch.diag((2 * bias[2:]).exp()) + 0.6**2 * torch.outer(way, way)
    return MultivariateNormal(mean, covariance)


def aim_guess(model: AutoEncoder, replica: int) -> None:
    """Make r(a|z, x) of `through_auxiliary` the exact q(a|z, x), a Gaussian about a line in z."""
    weight, bias, side = affine_of(model, replica)
    way = side @ weight[:, :2]
    covariance = marginal_encoder(model, replica, side).covariance_matrix
    gain = 0.6**2 * torch.linalg.solve(covariance, way)
    of_image = -weight[:, :2] @ gain  # (4,)
    at_origin = 0.4 - gain @ (0.4 * way + bias[:2])
    variance = 0.6**2 * (1 - gain @ way)
    network = model.encoder.of_code
    first, last = network.layers
    first.weight[replica] = torch.cat([torch.eye(4), -torch.eye(4)], -1)
    first.bias[replica] = 0
    last.weight[replica] = 0
    last.weight[replica, :, 0] = torch.cat([of_image, -of_image])
    last.bias[replica, 0] = torch.stack([at_origin, 0.5 * variance.log()])
    of_code = torch.outer(gain, of_image) / of_image.square().sum()
    network.sides[0].weight[replica] = torch.cat([of_code, -of_code], -1)


def affine_of(model: AutoEncoder, replica: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weight (4, 4), bias (4,) and c (4,) of q(z|a, x)'s mean and log deviation."""
    network = model.encoder.of_auxiliary
    last = network.layers[-1]
    weight, bias = last.weight[replica, :4].detach(), last.bias[replica, 0].detach()
    return weight, bias, network.sides[0].weight[replica, 0, :4].detach()


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


def marginal(model: AutoEncoder, replica: int) -> MultivariateNormal:
    """p(x) of a linear-Gaussian model: N(b, WᵀW + σ²I)."""
    layer = model.decoder.layers[-1]
    weight, bias = layer.weight[replica].detach(), layer.bias[replica, 0].detach()
    covariance = weight.T @ weight + model.likelihood.sd**2 * torch.eye(weight.shape[1])
    return MultivariateNormal(bias, covariance)


def posterior(model: AutoEncoder, replica: int, x: torch.Tensor) -> MultivariateNormal:
    """p(z|x) of a linear-Gaussian model, for images x (B, X)."""
    layer = model.decoder.layers[-1]
    weight, bias = layer.weight[replica].detach(), layer.bias[replica, 0].detach()
    variance = model.likelihood.sd**2
    precision = torch.eye(weight.shape[0]) + weight @ weight.T / variance
    mean = (x - bias) @ weight.T @ torch.linalg.inv(precision) / variance
    return MultivariateNormal(mean, precision_matrix=precision)


def encoder_density(encoder: nn.Module, x: Tensor) -> Independent:
    """q(z|x) of a Gaussian encoder, for images x (R, B, X)."""
    mean, log_sd = encoder.moments(x)
    return Independent(Normal(mean, log_sd.exp()), 1)


def expected_log_likelihood(model: AutoEncoder, x: Tensor) -> Tensor:
    """E_q log p(x|z) of a linear-Gaussian model with a Gaussian encoder: (R, B, X) -> (R, B)."""
    mean, log_sd = model.encoder.moments(x)
    layer = model.decoder.layers[-1]
    at_mean = Independent(Normal(mean @ layer.weight + layer.bias, model.likelihood.sd), 1)
    spread = ((2 * log_sd).exp() @ layer.weight.square()).sum(-1)
    return at_mean.log_prob(x) - 0.5 * spread / model.likelihood.sd**2


def elbo(model: AutoEncoder, x: Tensor) -> Tensor:
    """E_q log p(x|z) − KL(q(z|x) ‖ p(z)) of the same: (R, B, X) -> (R, B)."""
    q = encoder_density(model.encoder, x)
    prior = Independent(Normal(torch.zeros_like(q.mean), 1.0), 1)
    return expected_log_likelihood(model, x) - kl_divergence(q, prior)


class LogRatio(nn.Module):
    """The adversary of Proposition 1, T*(x, z) = log q(z|x) − log p(z), q a Gaussian encoder."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        mean, log_sd = self.encoder.moments(x)
        shape = mean.shape[:1] + (1,) * (z.dim() - mean.dim()) + mean.shape[1:]
        q, prior = Normal(mean.view(shape), log_sd.exp().view(shape)), Normal(0.0, 1.0)
        return (q.log_prob(z) - prior.log_prob(z)).sum(-1)


def black_box(model: AutoEncoder) -> AutoEncoder:
    """The model, its encoder's density hidden from evaluation."""
    model.encoder.has_density = model.encoder.has_weights = False
    return model


def unlabelled(x: Tensor) -> Batch:
    """Images (R, B, X) all of one class."""
    return Batch(x, torch.zeros(x.shape[:2], dtype=torch.int64))
