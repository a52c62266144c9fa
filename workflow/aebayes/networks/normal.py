"""Gaussians, diagonal and not: densities and divergences in closed form, in nats."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def log_normal(z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """log N(z; mean, sd²), summed over the last axis: (..., Z) -> (...)."""
    standardised = (z - mean) * (-log_sd).exp()
    return (-0.5 * standardised.square() - log_sd - 0.5 * LOG_2PI).sum(-1)


def log_standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I): (..., Z) -> (...)."""
    return (-0.5 * z.square() - 0.5 * LOG_2PI).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_sd: Tensor) -> Tensor:
    """KL(N(mean, sd²) ‖ N(0, I)): (..., Z) -> (...). Kingma & Welling 2013, appendix B."""
    return 0.5 * ((2 * log_sd).exp() + mean.square() - 1 - 2 * log_sd).sum(-1)


@dataclass(frozen=True)
class DiagonalNormal:
    """N(mean, sd²), one for each image: a q(z|x).

    Args:
        mean: (R, ..., B, Z).
        log_sd: the same shape.
    """

    mean: Tensor
    log_sd: Tensor

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = mean + sd·ε and log q(z|x): (R, ..., B, Z) -> the same, and (R, ..., B)."""
        mean, log_sd = aligned(self.mean, noise), aligned(self.log_sd, noise)
        return mean + log_sd.exp() * noise, log_standard_normal(noise) - log_sd.sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x): (R, ..., B, Z) -> (R, ..., B)."""
        return log_normal(z, aligned(self.mean, z), aligned(self.log_sd, z))

    def means(self, noise: Tensor) -> list[Tensor]:
        """E_q[z] of every layer given a sample of the one below: here the mean alone."""
        return [self.mean]

    def held(self) -> "DiagonalNormal":
        """The same density, whose moments take no gradient."""
        return DiagonalNormal(self.mean.detach(), self.log_sd.detach())

    def standardised(self, z: Tensor) -> Tensor:
        """ε that makes z, whose density is N(0, I): (R, ..., B, Z) -> the same."""
        return (z - aligned(self.mean, z)) * (-aligned(self.log_sd, z)).exp()


@dataclass(frozen=True)
class CorrelatedNormal:
    """N(mean, L Lᵀ), one for each image.

    Args:
        mean: (R, B, Z).
        inverse: L⁻¹ of a lower triangular L: (R, B, Z, Z).
    """

    mean: Tensor
    inverse: Tensor

    @classmethod
    def of_covariance(cls, mean: Tensor, covariance: Tensor) -> "CorrelatedNormal":
        """From (R, B, Z) and (R, B, Z, Z)."""
        factor, _ = torch.linalg.cholesky_ex(covariance)
        unit = torch.eye(mean.shape[-1], device=mean.device).expand_as(factor)
        return cls(mean, torch.linalg.solve_triangular(factor, unit, upper=False))

    def standardised(self, z: Tensor) -> Tensor:
        """ε = L⁻¹ (z − mean), whose density is N(0, I): (R, ..., B, Z) -> the same."""
        # Not a matrix product, which bfloat16 would round.
        centred = (z - aligned(self.mean, z)).unsqueeze(-2)
        return (aligned(self.inverse, centred) * centred).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density: (R, ..., B, Z) -> (R, ..., B)."""
        log_det = self.inverse.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return log_standard_normal(self.standardised(z)) + aligned(log_det, z[..., 0])


def beside(z: Tensor, told: Tensor) -> Tensor:
    """Numbers of each image put after those of its codes: (R, ..., B, Z), (R, B, T) -> Z + T."""
    return torch.cat([z, aligned(told, z).expand(*z.shape[:-1], -1)], -1)


def aligned(value: Tensor, to: Tensor) -> Tensor:
    """Insert axes after the replica's until `value` (R, B, …) broadcasts over `to` (R, …, B, …)."""
    return value.view(value.shape[:1] + (1,) * (to.dim() - value.dim()) + value.shape[1:])
