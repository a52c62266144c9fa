"""Exact inference for models with a 2-D latent space: sums over a fine grid, in nats.

With p(z) = N(0, I), the square |z| ≤ 6 holds all but 4e-9 of the prior. On a smooth integrand that
vanishes at the border equal weights converge faster than any power of the spacing; a decoder of
ReLUs has kinks, and there with its square.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aebayes.networks.autoencoder import AutoEncoder

HALF_WIDTH = 6.0
POINTS_AT_ONCE = 1 << 12  # a layer's outputs for more go through memory instead of the cache


@dataclass(frozen=True)
class Grid:
    """A square grid over a 2-D latent space.

    Args:
        axis: its coordinates along one side, (G,).
    """

    axis: Tensor

    @classmethod
    def of(cls, side: int) -> "Grid":
        """`side` points a side over |z| ≤ 6."""
        return cls(torch.linspace(-HALF_WIDTH, HALF_WIDTH, side))

    @property
    def log_cell(self) -> float:
        """log of a cell's area."""
        return 2 * math.log(float(self.axis[1] - self.axis[0]))

    def points(self) -> Tensor:
        """All points, the first coordinate slowest: (G², 2)."""
        return torch.cartesian_prod(self.axis, self.axis)

    def log_integral(self, log_values: Tensor) -> Tensor:
        """log ∫ exp(log_values) dz over the grid: (..., G²) -> (...), double precision."""
        return log_values.double().logsumexp(-1) + self.log_cell

    def expectation(self, log_density: Tensor, values: Tensor) -> Tensor:
        """∫ density · values dz: two of (..., G²) -> (...), double precision.

        Where the density is 0 values count for nothing, even if they are not finite.
        """
        weights = (log_density.double() + self.log_cell).exp()
        return (weights * values.double().masked_fill(weights == 0, 0.0)).sum(-1)


@torch.no_grad()
def log_joint_on(model: AutoEncoder, x: Tensor, grid: Grid) -> Tensor:
    """log p(x, z) at every grid point: x (R, B, X) -> (R, B, G²)."""
    parts = []
    for z in grid.points().split(POINTS_AT_ONCE):
        # A size-1 axis after the points lets every image meet every z.
        outputs = z.expand(x.shape[0], -1, -1).unsqueeze(2)  # (R, G', 1, 2)
        parts.append(model.log_joint(x, outputs).transpose(1, 2))  # (R, B, G')
    return torch.cat(parts, -1)
