"""Where importance samples come from: the encoder's own q(z|x), or a Gaussian fitted to p(z|x).

A black-box encoder has no density to divide by: its samples come from a Gaussian fitted to each
image's posterior, started from the encoder's codes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from aebayes.adam import Adam
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.normal import LOG_2PI
from aebayes.streams import Streams

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
class Proposal:
    """r(z|x) for given images, by the weights of its samples.

    Args:
        x: the images, (R, B, X).
        dimensions: of the noise that a sample is made from.
        log_weights: (x, *tensors, noise (R, K, B, N)) -> log p(x, z) − log r(z|x), (R, K, B).
        tensors: what else it takes; first axes R and B.
    """

    x: Tensor
    dimensions: int
    log_weights: Callable[..., Tensor]
    tensors: tuple[Tensor, ...] = ()

    def weigh(self, k: int, streams: Streams) -> Tensor:
        """log weights of k samples an image: (R, K, B)."""
        noise = streams.normal(k, self.x.shape[1], self.dimensions)
        return self.log_weights(self.x, *self.tensors, noise)


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
        return self.transform(streams.normal(k, *self.mean.shape[1:]))

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """mean + L ε and its log density: (R, K, B, Z) -> the same, and (R, K, B)."""
        z = self.mean.unsqueeze(1) + torch.einsum("rbij,rkbj->rkbi", self.factor, noise)
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1).unsqueeze(1)
        return z, (-0.5 * noise.square() - 0.5 * LOG_2PI).sum(-1) - log_det

    def noise_of(self, z: Tensor) -> Tensor:
        """The inverse of `transform`, of one code an image: (R, B, Z) -> (R, B, Z)."""
        columns = (z - self.mean).unsqueeze(-1)
        return torch.linalg.solve_triangular(self.factor, columns, upper=False).squeeze(-1)


def gaussian_log_weights(
    model: AutoEncoder, x: Tensor, mean: Tensor, factor: Tensor, noise: Tensor
) -> Tensor:
    """log p(x, z) − log N(z; mean, L Lᵀ) at z = mean + L ε: noise (R, K, B, Z) -> (R, K, B)."""
    z, log_r = GaussianProposal(mean, factor).transform(noise)
    return model.log_joint(x, z) - log_r


def prior_log_weights(model: AutoEncoder, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x|z) at the draws from p(z) that noise makes: (R, K, B, N) -> (R, K, B)."""
    return model.log_likelihood(x, model.prior.transform(noise))


LogJoint = Callable[[Tensor, Tensor], Tensor]


def fitted_proposal(
    x: Tensor, start: Tensor, log_joint: LogJoint, streams: Streams
) -> GaussianProposal:
    """A Gaussian fitted to p(z|x) by adaptive importance sampling: x (R, B, X).

    Each round samples the current Gaussian and takes the weighted moments as the next one, the
    weights tempered so that no few of them decide (Cappé et al. 2008, population Monte Carlo). It
    starts around the posterior's mode, since the code of an encoder trained without a bound, as
    the AAE's is, may lie far from it.

    Args:
        start: a code of each image, (R, B, Z).
        log_joint: (x, z (R, ..., B, Z)) -> log p(x, z), (R, ..., B).
    """
    mode = posterior_mode(x, start, log_joint)
    proposal = starting_proposal(x, mode, log_joint, streams)
    for _ in range(FIT_ROUNDS):
        z, log_r = proposal.sample(FIT_SAMPLES, streams)
        log_weights = log_joint(x, z) - log_r  # (R, K, B)
        proposal = moment_match(z, tempered(log_weights), 1e-6)
    return proposal


def starting_proposal(
    x: Tensor, mode: Tensor, log_joint: LogJoint, streams: Streams
) -> GaussianProposal:
    """The round Gaussian about the mode (R, B, Z) whose deviation explains each image best.

    Too wide a proposal misses a narrow posterior, too narrow a one sees only its peak: either
    way the estimate of log p(x) is too low, so the highest is taken.
    """
    unit = torch.eye(mode.shape[-1], device=x.device).expand(*mode.shape, -1)
    estimates = []
    for deviation in FIT_START_SDS:
        z, log_r = GaussianProposal(mode, deviation * unit).sample(FIT_SAMPLES, streams)
        estimates.append((log_joint(x, z) - log_r).logsumexp(1))  # (R, B)
    best = torch.stack(estimates).argmax(0)
    deviations = torch.tensor(FIT_START_SDS, device=x.device)[best]
    return GaussianProposal(mode, deviations[..., None, None] * unit)


def posterior_mode(x: Tensor, start: Tensor, log_joint: LogJoint) -> Tensor:
    """A local maximum of log p(x, z) over z, climbed by Adam from `start`: (R, B, Z)."""
    z = start.detach().clone().requires_grad_()
    optimiser = Adam([z], lr=MODE_LEARNING_RATE, betas=(0.8, 0.95))
    with torch.enable_grad():
        for step in range(MODE_STEPS):
            # To nothing, with a short memory: a narrow peak is overstepped by a step its own size,
            # and the large gradients on the way to it would make the last steps too small.
            optimiser.param_groups[0]["lr"] = MODE_LEARNING_RATE * (1 - step / MODE_STEPS) ** 4
            (z.grad,) = torch.autograd.grad(-log_joint(x, z).sum(), [z])
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
