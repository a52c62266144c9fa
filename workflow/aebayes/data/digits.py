"""scikit-learn's 1,797 hand-written digits of 8x8 pixels, shipped inside it: no network needed.

Split 1,197 / 300 / 300, stratified by class, by fixed seeds; each split keeps the original order.
"""

from pathlib import Path

import numpy as np

from aebayes.data.recipe import Recipe, Splits
from aebayes.data.splits import hold_out

HELD_OUT = 300
TEST_SEED = 0
VALIDATION_SEED = 1


def read(folder: Path) -> Splits:
    """The digits, split. `folder` is not read: the images come with scikit-learn."""
    # Here, because scikit-learn takes about a second to import and other datasets do without it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    labels = bunch.target.astype(np.int64)
    kept, test = hold_out(labels, HELD_OUT, TEST_SEED)
    train, validation = (kept[part] for part in hold_out(labels[kept], HELD_OUT, VALIDATION_SEED))
    chosen = {"train": train, "validation": validation, "test": test}
    return {split: (images[indices], labels[indices]) for split, indices in chosen.items()}


RECIPE = Recipe(
    name="digits",
    shape=(1, 8, 8),
    scale=16,
    classes=10,
    split=(
        "1,197 / 300 / 300, stratified by class with the raw stream of PCG64: "
        f"test with seed {TEST_SEED}, validation with seed {VALIDATION_SEED} from what is left"
    ),
    source=(
        "scikit-learn's load_digits: test part of Alpaydin & Kaynak 1998, Optical Recognition of "
        "Handwritten Digits, UCI Machine Learning Repository, doi:10.24432/C50P49"
    ),
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    read=read,
)
