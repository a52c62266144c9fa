"""k-nearest-neighbour estimators of entropy and divergence, in nats.

Neighbours are found by k-d trees: in as few dimensions as codes have where they are asked for, 2
and 8, that is faster than all distances by matrix products (benchmarks/neighbours.py).
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln


def knn_kl(p: np.ndarray, q: np.ndarray, k: int = 3) -> float:
    """KL(p ‖ q) from samples of both, in nats.

    Wang, Kulkarni & Verdú 2009, equation 14; the estimator of the ITE toolbox that AVB's Table 1
    used.

    Args:
        p: samples (n, d). Where many coincide p has no density: the result is then inf.
        q: samples (m, d).
        k: which neighbour.
    """
    n, d = p.shape
    within = cKDTree(p).query(p, k=k + 1)[0][:, k]  # the nearest of all is the point itself
    across = cKDTree(q).query(p, k=k)[0].reshape(n, -1)[:, -1]
    with np.errstate(divide="ignore"):
        return float(d * np.mean(np.log(across) - np.log(within)) + np.log(len(q) / (n - 1)))


def knn_entropy(samples: np.ndarray, k: int = 3) -> float:
    """Differential entropy from samples (n, d), in nats.

    Kozachenko & Leonenko 1987; Kraskov, Stögbauer & Grassberger 2004, equation 20. Samples that
    coincide have no density: the result is then −inf.
    """
    n, d = samples.shape
    distance = cKDTree(samples).query(samples, k=k + 1)[0][:, k]
    unit_ball = 0.5 * d * np.log(np.pi) - gammaln(0.5 * d + 1)
    with np.errstate(divide="ignore"):
        return float(digamma(n) - digamma(k) + unit_ball + d * np.mean(np.log(distance)))
