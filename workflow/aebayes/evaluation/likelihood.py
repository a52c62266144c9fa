"""Importance-sampled log-likelihood for any decoder, in nats per image.

log p(x) ≥ L_k = E log 1/k Σ p(x, z_i)/r(z_i), z_i ~ r (Burda et al. 2015, equation 8). The proposal
r is the encoder's own Gaussian where it has one. A black-box encoder has no density to divide by:
there r is a Gaussian fitted to each image's posterior, started from the encoder's codes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.normal import LOG_2PI
from aebayes.streams import Streams

# Logits of one chunk: (R, K', B, X) floats, about 64 MiB.
CHUNK_ELEMENTS = 1 << 24

MODE_STEPS = 150
MODE_LEARNING_RATE = 0.05
FIT_ROUNDS = 8
FIT_SAMPLES = 256
FIT_START_SD = 0.3
# A round's weights are flattened until a quarter of its samples count.
FIT_EFFECTIVE_SHARE = 0.25
FIT_SHRINKAGE = 0.1
# A proposal wider than the posterior keeps the weights bounded where a narrower one would not.
FIT_INFLATION = 1.2


@dataclass(frozen=True)
class Proposal:
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


def encoder_proposal(model: AutoEncoder, x: Tensor) -> Proposal:
    """The Gaussian encoder's q(z|x): x (R, B, X)."""
    mean, log_sd = model.encoder.moments(x)
    return Proposal(mean, torch.diag_embed(log_sd.exp()))


def fitted_proposal(model: AutoEncoder, x: Tensor, streams: Streams) -> Proposal:
    """A Gaussian fitted to p(z|x) by adaptive importance sampling: x (R, B, X).

    Each round samples the current Gaussian and takes the weighted moments as the next one, the
    weights tempered so that no few of them decide (Cappé et al. 2008, population Monte Carlo). It
    starts around the posterior's mode, since the code of an encoder trained without a bound, as
    the AAE's is, may lie far from it.
    """
    mode = posterior_mode(model, x, model.encode(x, streams))
    spread = FIT_START_SD * torch.eye(model.latent, device=x.device)
    proposal = Proposal(mode, spread.expand(*mode.shape, -1))
    for _ in range(FIT_ROUNDS):
        z, log_r = proposal.sample(FIT_SAMPLES, streams)
        log_weights = model.log_joint(x, z) - log_r  # (R, K, B)
        proposal = moment_match(z, tempered(log_weights), 1e-6)
    return proposal


def posterior_mode(model: AutoEncoder, x: Tensor, start: Tensor) -> Tensor:
    """A local maximum of log p(x, z) over z, climbed by Adam from `start`: (R, B, Z)."""
    z = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=MODE_LEARNING_RATE)
    with torch.enable_grad():
        for _ in range(MODE_STEPS):
            (z.grad,) = torch.autograd.grad(-model.log_joint(x, z).sum(), [z])
            optimiser.step()
    return z.detach()


def moment_match(z: Tensor, log_weights: Tensor, ridge: float) -> Proposal:
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
    return Proposal(mean, FIT_INFLATION * torch.linalg.cholesky(covariance))


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


@torch.no_grad()
def log_likelihood_bound(
    model: AutoEncoder, x: Tensor, proposal: Proposal, k: int, streams: Streams
) -> Tensor:
    """L_k of each image: x (R, B, X) -> (R, B), summed in double precision.

    The k samples are gone through in chunks: memory does not grow with k.
    """
    replicas, images, pixels = x.shape
    chunk = max(1, CHUNK_ELEMENTS // (replicas * images * pixels))
    total = torch.full((replicas, images), -math.inf, dtype=torch.double, device=x.device)
    done = 0
    while done < k:
        now = min(chunk, k - done)
        z, log_r = proposal.sample(now, streams)
        log_weights = (model.log_joint(x, z) - log_r).double()
        total = torch.logaddexp(total, log_weights.logsumexp(1))
        done += now
    return total - math.log(k)
