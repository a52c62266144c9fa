"""Which images' labels a method is told: as many of each class, drawn anew for every replica."""

import torch
from torch import Tensor

from aebayes.errors import AebayesError
from aebayes.streams import Streams

REMEDY = 'lower it, or give "all"'


def labelled_images(labels: Tensor, classes: int, experiment: dict, replicas: list[int]) -> Tensor:
    """The images that `objective.labelled` lets be known: ascending indices, (R, L).

    As many of each class, at least one; where that leaves some over, one more of the first
    classes. With `objective.balanced` false, whichever are drawn. They depend on the seed and the
    replica's number alone.

    Args:
        labels: of all training images, (N,).

    Raises:
        AebayesError: there are not as many, in all or of some class, or fewer than classes.
    """
    wanted = experiment["objective"]["labelled"]
    if wanted == "all":
        return torch.arange(len(labels)).expand(len(replicas), -1)
    key = f"experiment {experiment['name']}: objective.labelled is {wanted}"
    streams = Streams(experiment["training"]["seed"], replicas, "labels")
    if not experiment["objective"].get("balanced", True):
        if wanted > len(labels):
            raise AebayesError(f"{key}, of {len(labels)} training images", REMEDY)
        return streams.permutation(len(labels))[:, :wanted].sort(1).values
    if wanted < classes:
        raise AebayesError(f"{key}, fewer than the {classes} classes", f"make it {classes} or more")
    chosen = []
    for each in range(classes):
        images = (labels == each).nonzero().flatten()
        count = wanted // classes + (each < wanted % classes)
        if count > len(images):
            raise AebayesError(
                f"{key}, {count} of class {each}, of which there are {len(images)} training images",
                REMEDY,
            )
        chosen.append(images[streams.permutation(len(images))[:, :count]])
    return torch.cat(chosen, 1).sort(1).values


def hide_others(labels: Tensor, known: Tensor, classes: int) -> Tensor:
    """Labels (N,), all but the known images' (R, L) replaced by `classes`: (R, N)."""
    hidden = torch.full((len(known), len(labels)), classes, dtype=labels.dtype)
    return hidden.scatter(1, known, labels.expand(len(known), -1).gather(1, known))
