"""Importance-sampled log-likelihood for any decoder, in nats per image.

log p(x) ≥ L_k = E log 1/k Σ p(x, z_i)/r(z_i), z_i ~ r (Burda et al. 2015, equation 8). The proposal
r is the encoder's own Gaussian where it has one. A black-box encoder has no density to divide by:
there r is a Gaussian fitted to each image's posterior, started from the encoder's codes.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.encoders import TwoLayerPosterior
from aebayes.networks.normal import LOG_2PI, DiagonalNormal
from aebayes.streams import Streams

# Logits of one chunk, (R, K', B, X) floats. 4 MiB stay in a CPU's cache: 1.8 times as fast as
# 64 MiB, measured on one thread of a Zen 4 at the one-layer IWAE nets. A GPU wants work.
CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}

MODE_STEPS = 400
MODE_LEARNING_RATE = 0.1
FIT_ROUNDS = 8
FIT_SAMPLES = 256
FIT_START_SDS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# A round's weights are flattened until a quarter of its samples count.
FIT_EFFECTIVE_SHARE = 0.25
FIT_SHRINKAGE = 0.1
# A proposal wider than the posterior keeps the weights bounded where a narrower one would not.
FIT_INFLATION = 1.2


@dataclass(frozen=True)
class GaussianProposal:
    """r(z) = N(mean, L Lᵀ), one per image.

    Args:
        mean: (R, B, Z).
        factor: L, lower triangular, (R, B, Z, Z).
    """

    mean: Tensor
    factor: Tensor

    def sample(self, k: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """k draws and their log densities: (R, K, B, Z), (R, K, B)."""
        noise = streams.normal(k, *self.mean.shape[1:])  # (R, K, B, Z)
        z = self.mean.unsqueeze(1) + torch.einsum("rbij,rkbj->rkbi", self.factor, noise)
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1).unsqueeze(1)
        return z, (-0.5 * noise.square() - 0.5 * LOG_2PI).sum(-1) - log_det


@dataclass
class EncoderProposal:
    """r = q(z|x), of an encoder with a density.

    Args:
        model: whose encoder.
        x: the images, (R, B, X).
    """

    model: AutoEncoder
    x: Tensor

    @cached_property
    def posterior(self) -> DiagonalNormal | TwoLayerPosterior:
        """q(z|x), computed once."""
        return self.model.encoder.posterior(self.x)

    def sample(self, k: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """k draws and their log densities: (R, K, B, Z), (R, K, B)."""
        return self.posterior.transform(self.model.noise(streams, k, self.x.shape[1]))


Proposal = GaussianProposal | EncoderProposal


def fitted_proposal(model: AutoEncoder, x: Tensor, streams: Streams) -> GaussianProposal:
    """A Gaussian fitted to p(z|x) by adaptive importance sampling: x (R, B, X).

    Each round samples the current Gaussian and takes the weighted moments as the next one, the
    weights tempered so that no few of them decide (Cappé et al. 2008, population Monte Carlo). It
    starts around the posterior's mode, since the code of an encoder trained without a bound, as
    the AAE's is, may lie far from it.
    """
    mode = posterior_mode(model, x, model.encode(x, streams))
    proposal = starting_proposal(model, x, mode, streams)
    for _ in range(FIT_ROUNDS):
        z, log_r = proposal.sample(FIT_SAMPLES, streams)
        log_weights = model.log_joint(x, z) - log_r  # (R, K, B)
        proposal = moment_match(z, tempered(log_weights), 1e-6)
    return proposal


def starting_proposal(
    model: AutoEncoder, x: Tensor, mode: Tensor, streams: Streams
) -> GaussianProposal:
    """The round Gaussian about the mode (R, B, Z) whose deviation explains each image best.

    Too wide a proposal misses a narrow posterior, too narrow a one sees only its peak: either
    way the estimate of log p(x) is too low, so the highest is taken.
    """
    unit = torch.eye(model.latent, device=x.device).expand(*mode.shape, -1)
    estimates = []
    for deviation in FIT_START_SDS:
        z, log_r = GaussianProposal(mode, deviation * unit).sample(FIT_SAMPLES, streams)
        estimates.append((model.log_joint(x, z) - log_r).logsumexp(1))  # (R, B)
    best = torch.stack(estimates).argmax(0)
    deviations = torch.tensor(FIT_START_SDS, device=x.device)[best]
    return GaussianProposal(mode, deviations[..., None, None] * unit)


def posterior_mode(model: AutoEncoder, x: Tensor, start: Tensor) -> Tensor:
    """A local maximum of log p(x, z) over z, climbed by Adam from `start`: (R, B, Z)."""
    z = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=MODE_LEARNING_RATE, betas=(0.8, 0.95))
    with torch.enable_grad():
        for step in range(MODE_STEPS):
            # To nothing, with a short memory: a narrow peak is overstepped by a step its own size,
            # and the large gradients on the way to it would make the last steps too small.
            optimiser.param_groups[0]["lr"] = MODE_LEARNING_RATE * (1 - step / MODE_STEPS) ** 4
            (z.grad,) = torch.autograd.grad(-model.log_joint(x, z).sum(), [z])
            optimiser.step()
    return z.detach()


def moment_match(z: Tensor, log_weights: Tensor, ridge: float) -> GaussianProposal:
    """The Gaussian with the weighted moments of z (R, K, B, Z), a little widened.

    Args:
        log_weights: normalised over K, (R, K, B).
        ridge: variance added to every axis.
    """
    weights = log_weights.exp().unsqueeze(-1)
    mean = (weights * z).sum(1)  # (R, B, Z)
    centred = z - mean.unsqueeze(1)
    covariance = torch.einsum("rkbi,rkbj->rbij", weights * centred, centred)
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    covariance = (1 - FIT_SHRINKAGE) * covariance + torch.diag_embed(
        FIT_SHRINKAGE * variance + ridge
    )
    return GaussianProposal(mean, FIT_INFLATION * torch.linalg.cholesky(covariance))


def tempered(log_weights: Tensor) -> Tensor:
    """Normalised weights^β with the largest β ≤ 1 that keeps their effective share: (R, K, B)."""
    low = torch.zeros_like(log_weights[:, :1])
    high = torch.ones_like(low)
    for _ in range(12):
        middle = (low + high) / 2
        enough = effective_share(middle * log_weights) >= FIT_EFFECTIVE_SHARE
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return (low * log_weights).log_softmax(1)


def effective_share(log_weights: Tensor) -> Tensor:
    """Effective sample size over sample size, (Σw)² / (K Σw²): (R, K, B) -> (R, 1, B)."""
    log_sum = log_weights.logsumexp(1, keepdim=True)
    log_sum_squares = (2 * log_weights).logsumexp(1, keepdim=True)
    return (2 * log_sum - log_sum_squares).exp() / log_weights.shape[1]


def log_likelihood_bound(
    model: AutoEncoder, x: Tensor, proposal: Proposal, k: int, streams: Streams
) -> Tensor:
    """L_k of each image: x (R, B, X) -> (R, B), summed in double precision."""
    log_sum, _ = importance_sums(model, x, proposal, k, streams)
    return log_sum - math.log(k)


@torch.no_grad()
def importance_sums(
    model: AutoEncoder, x: Tensor, proposal: Proposal, k: int, streams: Streams
) -> tuple[Tensor, Tensor]:
    """log Σ w_i and log Σ w_i² over k importance samples of each image: x (R, B, X) -> two (R, B).

    The samples are gone through in chunks: memory does not grow with k.
    """
    replicas, images, pixels = x.shape
    chunk = max(1, CHUNK_ELEMENTS[x.device.type] // (replicas * images * pixels))
    nothing = torch.full((replicas, images), -math.inf, dtype=torch.double, device=x.device)
    log_sum, log_sum_squares = nothing, nothing
    for done in range(0, k, chunk):
        z, log_r = proposal.sample(min(chunk, k - done), streams)
        log_weights = (model.log_joint(x, z) - log_r).double()  # (R, K', B)
        log_sum = torch.logaddexp(log_sum, log_weights.logsumexp(1))
        log_sum_squares = torch.logaddexp(log_sum_squares, (2 * log_weights).logsumexp(1))
    return log_sum, log_sum_squares
