"""The density of a black-box encoder, by counting: only for 2-D codes."""

import numpy as np


def histogram_log_density(samples: np.ndarray, edges: np.ndarray, least: int = 30) -> np.ndarray:
    """log density in the cells of a square grid, in nats.

    Args:
        samples: (n, 2).
        edges: cell borders along either side, (G + 1,).
        least: a cell with fewer samples is NaN: its error would exceed 1/√least.

    Returns:
        (G, G), the first coordinate first.
    """
    counts, _, _ = np.histogram2d(samples[:, 0], samples[:, 1], bins=[edges, edges])
    area = np.outer(np.diff(edges), np.diff(edges))
    density = np.where(counts >= least, counts, np.nan) / (len(samples) * area)
    return np.log(density)
