"""Labels that tables and figures print: parts with commas between, the general ones first."""

from collections.abc import Sequence
from itertools import takewhile

COMMA = ", "


def common_parts(labels: Sequence[str]) -> str:
    """What all labels begin with, in whole parts; "MNIST" of "MNIST, VAE" and "MNIST, IWAE"."""
    parts = zip(*(label.split(COMMA) for label in labels), strict=False)
    return COMMA.join(same[0] for same in takewhile(lambda each: len(set(each)) == 1, parts))
