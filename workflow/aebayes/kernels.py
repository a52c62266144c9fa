"""Maximum mean discrepancy under Gaussian kernels, to be differentiated. Gretton et al. 2012."""

from collections.abc import Sequence

import torch
from torch import Tensor


def kernel(p: Tensor, q: Tensor, widths: Sequence[float]) -> Tensor:
    """Σ_w exp(−‖x − y‖² / 2w²) of every pair: (R, N, D), (R, M, D) -> (R, N, M).

    In float32 also where products are bfloat16's: nearly equal numbers are subtracted.
    """
    with torch.autocast(p.device.type, enabled=False):
        origin = q.float().mean(1, keepdim=True)  # far from it the squares would swallow distances
        p, q = p.float() - origin, q.float() - origin
        squares = p.square().sum(-1).unsqueeze(-1) + q.square().sum(-1).unsqueeze(-2)
        distances = (squares - 2 * p @ q.mT).clamp(min=0)
    return sum((-distances / (2 * width**2)).exp() for width in widths)


def mmd_squared(p: Tensor, q: Tensor, widths: Sequence[float], unbiased: bool) -> Tensor:
    """MMD² between two samples: (R, N, D), (R, M, D) -> (R,).

    Args:
        widths: of the kernels that are added up.
        unbiased: leave out each point's kernel with itself, equation 3 of Gretton et al., where the
            estimate may fall below 0; else equation 5, which is a squared norm.
    """
    within = sum(kernel_mean(kernel(s, s, widths), unbiased) for s in (p, q))
    return within - 2 * kernel(p, q, widths).mean((1, 2))


def kernel_mean(matrix: Tensor, unbiased: bool) -> Tensor:
    """The mean of a kernel matrix (R, N, N), with or without its diagonal: (R,)."""
    if not unbiased:
        return matrix.mean((1, 2))
    count = matrix.shape[-1]
    diagonal = matrix.diagonal(dim1=1, dim2=2).sum(1)
    return (matrix.sum((1, 2)) - diagonal) / (count * (count - 1))
