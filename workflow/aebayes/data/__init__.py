"""Datasets: fetched, verified, and turned into one npz and one card each.

To add a dataset, write a module like `four_points.py` (no raw files) or `mnist.py` (raw files) and
add its `RECIPE` to `DATASETS`; fetching, verifying, preparing and loading then know it by its name.
"""

from aebayes.data import (
    digits,
    four_points,
    freyfaces,
    lfwcrop,
    mnist,
    mnist_fixed,
    omniglot,
    omniglot_drawings,
    svhn,
    tfd,
    two_modes,
)
from aebayes.data.recipe import Recipe
from aebayes.errors import AebayesError

DATASETS: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (
        *(four_points, digits, mnist, mnist_fixed, omniglot, omniglot_drawings),
        *(freyfaces, lfwcrop, svhn, tfd, two_modes),
    )
}


def recipe_of(name: str) -> Recipe:
    """The dataset of that name.

    Raises:
        AebayesError: there is none.
    """
    if name not in DATASETS:
        raise AebayesError(
            f"unknown dataset {name!r}", f"use one of the known datasets: {', '.join(DATASETS)}"
        )
    return DATASETS[name]
