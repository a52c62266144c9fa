"""How well hold-out codes match the prior: q(z) = p(z), the AAE's aim, measured in three ways."""

import math

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from aebayes.evaluation.divergences import knn_kl
from aebayes.evaluation.metrics import Metric
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams

FOLDS = 5
ROWS_AT_ONCE = 1000
# The kernel's width is the prior's own, so that all models of one prior are measured alike.
WIDTH_SAMPLES = 1000


def match_metrics(model: AutoEncoder, x: Tensor, streams: Streams) -> dict[str, Metric]:
    """Three distances of q(z), one code an image (R, N, X), from p(z), N draws.

    `prior_kl`, KL(q(z) ‖ p(z)) in nats by k nearest neighbours; `prior_mmd`, the squared maximum
    mean discrepancy under a Gaussian kernel as wide as the prior's median distance, unbiased and so
    sometimes below 0; `prior_accuracy`, a fresh classifier's share of right guesses whether a point
    is a code or a draw, 0.5 where they are the same.
    """
    codes = torch.cat([model.encode(part, streams) for part in x.split(ROWS_AT_ONCE, 1)], 1)
    draws = model.prior.sample(streams, codes.shape[1])
    width = median_distance(draws[0, :WIDTH_SAMPLES])
    pairs = [(q.cpu().numpy(), p.cpu().numpy()) for q, p in zip(codes, draws, strict=True)]
    accuracies = [accuracy(q, p) for q, p in pairs]
    errors = [math.sqrt(share * (1 - share) / (2 * codes.shape[1])) for share in accuracies]
    return {
        "prior_kl": Metric.of([knn_kl(q, p) for q, p in pairs], "nats"),
        "prior_mmd": Metric.of(
            [mmd_squared(q, p, width) for q, p in zip(codes, draws, strict=True)], "1"
        ),
        "prior_accuracy": Metric.of(accuracies, "share", standard_error=errors),
    }


def median_distance(samples: Tensor) -> float:
    """The median Euclidean distance between two of the samples (n, d)."""
    return float(torch.pdist(samples.double()).median())


def mmd_squared(p: Tensor, q: Tensor, width: float) -> float:
    """MMD²(p, q) under exp(−‖x − y‖² / 2 width²), from samples (n, d) and (m, d), without bias.

    Gretton et al. 2012, equation 3. Memory is that of `ROWS_AT_ONCE` rows of the kernel.
    """
    within = sum(
        (kernel_sum(s, s, width) - len(s)) / (len(s) * (len(s) - 1)) for s in (p, q)
    )  # a point's kernel with itself is 1, and left out
    return within - 2 * kernel_sum(p, q, width) / (len(p) * len(q))


def kernel_sum(p: Tensor, q: Tensor, width: float) -> float:
    """Σ exp(−‖x − y‖² / 2 width²) over all pairs of p (n, d) and q (m, d)."""
    p, q = p.double(), q.double()
    rows = p.split(ROWS_AT_ONCE)
    return sum(float((-0.5 * (torch.cdist(r, q) / width).square()).exp().sum()) for r in rows)


def accuracy(p: np.ndarray, q: np.ndarray) -> float:
    """How often boosted trees guess which of two samples (n, d) a point is of.

    Cross-validated: on points that they were not grown on. Lopez-Paz & Oquab 2017.
    """
    # Two seconds that every other evaluation would wait for.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    points = np.concatenate([p, q])
    labels = np.repeat([0, 1], [len(p), len(q)])
    order = np.random.default_rng(0).permutation(len(points))
    trees = HistGradientBoostingClassifier(early_stopping=True, random_state=0)
    with threadpool_limits(torch.get_num_threads(), "openmp"):
        return float(cross_val_score(trees, points[order], labels[order], cv=FOLDS).mean())
