"""Datasets: fetched, verified, and turned into one npz and one card each.

To add a dataset, write a module like `four_points.py` (no raw files) or `mnist.py` (raw files) and
add its `RECIPE` to `DATASETS`; fetching, verifying, preparing and loading then know it by its name.
"""

from aebayes.data import (
    celeba,
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
    recipe.name: recipe
    for recipe in (
        *(four_points.RECIPE, two_modes.RECIPE, digits.RECIPE, mnist.RECIPE, mnist_fixed.RECIPE),
        *(omniglot.RECIPE, omniglot_drawings.RECIPE, svhn.RECIPE),
        *(freyfaces.RECIPE, lfwcrop.RECIPE, tfd.RECIPE, *celeba.RECIPES),
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
