"""Precision and recall of samples, by the reach of nearest neighbours in pixel space."""

import torch
from torch import Tensor

K = 3
ROWS_AT_ONCE = 500


def precision_and_recall(real: Tensor, generated: Tensor, k: int = K) -> tuple[float, float]:
    """The share of samples that lie among real images, and of real images among samples.

    A point lies among others where it is no farther from one of them than that one's k-th nearest
    neighbour is. Kynkäänniemi et al. 2019, equation 2.

    Args:
        real: images (N, X).
        generated: samples (M, X).
    """
    return among(generated, real, k), among(real, generated, k)


def among(points: Tensor, others: Tensor, k: int) -> float:
    """The share of points (N, X) within the reach of one of the others (M, X)."""
    reach = torch.cat(
        [torch.cdist(rows, others).kthvalue(k + 1, 1).values for rows in others.split(ROWS_AT_ONCE)]
    )  # the nearest of all is the point itself
    inside = [(torch.cdist(rows, others) <= reach).any(1) for rows in points.split(ROWS_AT_ONCE)]
    return torch.cat(inside).double().mean().item()
