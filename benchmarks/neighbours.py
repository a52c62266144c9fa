"""Nearest neighbours, of which KL(q(z) ‖ p(z)) is estimated: by a k-d tree, and by products.

As many points as MNIST has test images, in as many dimensions as codes have there whose match with
the prior is measured (2 and 8), and more. Writes neighbours.csv to benchmarks/results/.

    uv run python benchmarks/neighbours.py
"""

from functools import partial

import click
import numpy as np
import torch
from measure import RESULTS, interleaved, machine, write_csv
from scipy.spatial import cKDTree
from torch import Tensor

from aebayes.devices import use_device

POINTS = 10_000
K = 3
ROWS_AT_ONCE = 500
HEADER = ["points", "dimensions", "tree_ms", "products_ms", "machine"]


def by_tree(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """How far each point of p (n, d) is from its K-th neighbour in q (m, d), as in `knn_kl`."""
    return cKDTree(q).query(p, k=K)[0][:, -1]


def by_products(p: Tensor, q: Tensor) -> Tensor:
    """The same by all ‖q‖² − 2 p q, of which a few more than K are then measured in float64."""
    squares = q.square().sum(1)
    found = []
    for rows in p.split(ROWS_AT_ONCE):
        near = torch.addmm(squares, rows, q.T, alpha=-2).topk(K + 2, largest=False).indices
        away = rows.double().unsqueeze(1) - q[near].double()
        found.append(away.norm(dim=-1).sort(-1).values[:, K - 1])
    return torch.cat(found)


@click.command()
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    """Time both in turn, and write the medians."""
    device = use_device("cpu", 1)
    lines = []
    for dimensions in (2, 4, 8, 16, 32):
        p, q = torch.randn(2, POINTS, dimensions)
        points = p.numpy(), q.numpy()
        np.testing.assert_allclose(by_products(p, q), by_tree(*points), rtol=1e-6)
        steps = {"tree": partial(by_tree, *points), "products": partial(by_products, p, q)}
        times = interleaved(steps, rounds, device, f"{dimensions} dimensions")
        numbers = (f"{times[name]:.1f}" for name in steps)
        lines.append([POINTS, dimensions, *numbers, machine(device)])
        click.echo(", ".join(map(str, lines[-1])))
    write_csv(RESULTS / "neighbours.csv", HEADER, lines)


if __name__ == "__main__":
    main()
