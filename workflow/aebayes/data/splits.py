"""Fixed splits that stay the same under every version of numpy."""

import numpy as np


def hold_out(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose `count` of the labelled items, as evenly over the classes as they are present.

    Each class gives its share rounded down; the places left go to the largest remainders, the lower
    class first among equals. Within a class, items are drawn in the order of 64-bit keys.

    Args:
        labels: (N,) classes.
        count: items to hold out, at most N.
        seed: of the keys.

    Returns:
        Indices of the items kept (N - count,) and of those held out (count,), both ascending.
    """
    # numpy promises the bit generator's raw stream for ever, Generator.permutation's order not.
    keys = np.random.PCG64(seed).random_raw(len(labels))
    order = np.lexsort((keys, labels))  # by class, then by key
    _, sizes = np.unique(labels, return_counts=True)
    classes = np.split(order, np.cumsum(sizes)[:-1])
    shares = _shares(sizes, count)
    held = np.concatenate([items[:share] for items, share in zip(classes, shares, strict=True)])
    return np.setdiff1d(np.arange(len(labels)), held), np.sort(held)


def _shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """`count` places over classes of these sizes, by largest remainder."""
    total = sizes.sum()
    shares, remainders = sizes * count // total, sizes * count % total
    left = count - shares.sum()
    shares[np.argsort(-remainders, kind="stable")[:left]] += 1
    return shares
