"""The diagonal Gaussian: densities and divergences in closed form, in nats."""

import math

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
