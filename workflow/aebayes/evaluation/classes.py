"""How well q(y|x) tells classes: error rates, and what clusters have to do with classes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from aebayes.data.dataset import Dataset
from aebayes.evaluation.metrics import Metric
from aebayes.methods.base import Method
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams

AT_ONCE = 1000
MEMBERS = 9  # of a cluster, that a figure shows


@dataclass(frozen=True)
class Labelled:
    """A split's images in [0, 1], (N, X), and their classes, (N,)."""

    x: Tensor
    classes: Tensor

    @classmethod
    def of(cls, dataset: Dataset, split: str, device: torch.device) -> "Labelled":
        """A split, its grey levels as they are."""
        images, classes = dataset.split(split)
        x = torch.from_numpy(images).flatten(1).to(device).float() / dataset.scale
        return cls(x, torch.from_numpy(classes).to(device))


@torch.no_grad()
def class_logits(model: nn.Module, x: Tensor, replicas: int) -> Tensor:
    """Of q(y|x), by all replicas' networks: (N, X) -> (R, N, C)."""
    parts = [part.expand(replicas, -1, -1) for part in x.split(AT_ONCE)]
    return torch.cat([model.encoder.logits(part) for part in parts], 1)


def cluster_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """The class of each cluster: of the image with its highest q(y|x), the first of several.

    Makhzani et al. 2015, section 5. Probabilities are compared by their log-odds: as float32 many
    of them are 1. (R, N, K), (N,) -> (R, K).
    """
    named = []
    for cluster in range(logits.shape[-1]):
        own, others = logits[..., cluster], logits.clone()
        others[..., cluster] = -torch.inf
        odds = own - others.logsumexp(-1)  # (R, N)
        highest = odds == odds.amax(1, keepdim=True)
        named.append(classes[highest.int().argmax(1)])  # of equal ones argmax takes the first
    return torch.stack(named, -1)


def error_rates(found: Tensor, classes: Tensor) -> Tensor:
    """Share of images whose class is not the one found, in %: (R, N), (N,) -> (R,)."""
    return 100 * (found != classes).double().mean(1)


def disagreements(found: Tensor) -> Tensor:
    """How often a replica and another find different classes, in %: (R, N) -> (R,).

    The mean over the others. It needs no labels, and where all of them together are calibrated it
    is their error in expectation (Jiang et al. 2022, arXiv:2106.13799).
    """
    differ = (found.unsqueeze(1) != found).double().mean(-1)  # (R, R), 0 with itself
    return 100 * differ.sum(1) / (len(found) - 1)


def first_of_each(classes: Tensor, count: int) -> Tensor:
    """Indices of `count` images, equally many of each class, the first ones; at most all there are.

    Args:
        classes: (N,).
    """
    if count >= len(classes):
        return torch.arange(len(classes), device=classes.device)
    kinds = classes.unique()
    each = count // len(kinds)
    return torch.cat([(classes == kind).nonzero().flatten()[:each] for kind in kinds])


class Reader:
    """Turns q(y|x) into classes: as it is, or by what validation images say of each cluster."""

    def __init__(self, method: Method, validation: Labelled, replicas: int):
        self.method, self.validation, self.replicas = method, validation, replicas

    def classes(self, logits: Tensor) -> Tensor:
        """The class of the likeliest y: (R, N, C) -> (R, N)."""
        likeliest = logits.argmax(-1)
        if self.method.takes_labelled:
            return likeliest
        model, held_out = self.method.model, self.validation
        of_validation = class_logits(model, held_out.x, self.replicas)
        return cluster_classes(of_validation, held_out.classes).gather(1, likeliest)


def class_metrics(
    method: Method, dataset: Dataset, streams: Streams, labelled: int | str | None = None
) -> tuple[dict[str, Metric], dict[str, np.ndarray]]:
    """Metrics of every replica over the test images, and the first replica's arrays for figures.

    `error` in %; of clusters also `adjusted_rand`, `mutual_information` (normalised) and `purity`,
    which look at the partition alone, whatever class a cluster is given. And two that settings can
    be chosen by, of validation images, in %: `disagreement` of several replicas, without labels
    but those that name clusters; with labels `validation_error`, of as many as were told.

    Args:
        labelled: `objective.labelled`, how many training images' classes were told.
    """
    replicas, model = len(streams), method.model
    test, validation = (
        Labelled.of(dataset, split, streams.device) for split in ("test", "validation")
    )
    reader = Reader(method, validation, replicas)
    logits = class_logits(model, test.x, replicas)
    metrics = {"error": error_metric(reader.classes(logits), test.classes)}
    found = reader.classes(class_logits(model, validation.x, replicas))
    if replicas > 1:
        metrics["disagreement"] = Metric.of(disagreements(found), "%")
    if labelled is not None:
        told = len(validation.x) if labelled == "all" else labelled
        few = first_of_each(validation.classes, told)
        metrics["validation_error"] = error_metric(found[:, few], validation.classes[few])
    clusters = logits.argmax(-1)
    if not method.takes_labelled:
        metrics |= partition_metrics(clusters, test.classes, logits.shape[-1])
    arrays = class_arrays(model, clusters, test.x) if isinstance(model, AutoEncoder) else {}
    return metrics, arrays


def error_metric(found: Tensor, classes: Tensor) -> Metric:
    """Error rates in %, with their standard errors over images: (R, N), (N,)."""
    errors = error_rates(found, classes)
    spread = (errors * (100 - errors) / len(classes)).sqrt().tolist()
    return Metric.of(errors, "%", standard_error=spread)


def partition_metrics(clusters: Tensor, classes: Tensor, count: int) -> dict[str, Metric]:
    """How alike clusters (R, N) and classes (N,) are as partitions; 1 if they are the same."""
    # Its import takes a second that classifiers need not wait for.
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    truth = classes.cpu().numpy()
    each = [found.cpu().numpy() for found in clusters]
    return {
        "adjusted_rand": Metric.of([adjusted_rand_score(truth, found) for found in each], "1"),
        "mutual_information": Metric.of(
            [normalized_mutual_info_score(truth, found) for found in each], "1"
        ),
        "purity": Metric.of(purity(clusters, classes, count), "share"),
    }


def purity(clusters: Tensor, classes: Tensor, count: int) -> Tensor:
    """Share of images that are of their cluster's commonest class: (R, N), (N,) -> (R,)."""
    kinds = int(classes.max()) + 1
    cells = clusters * kinds + classes  # of each replica's table of clusters and classes
    tables = torch.stack([cell.bincount(minlength=count * kinds) for cell in cells])
    return tables.view(-1, count, kinds).amax(-1).sum(-1).double() / classes.numel()


@torch.no_grad()
def class_arrays(model: AutoEncoder, clusters: Tensor, x: Tensor) -> dict[str, np.ndarray]:
    """Of the first replica, over test images x (N, X) with their likeliest y (R, N).

    Returns:
        heads: (C, X), E[x|y, z] of every y at the style 0.
        members: (C, M), the first test images of every y by number, −1 where there are no more.
        embedding: (N, 2), W_C y + z of the test images, where cluster heads lie in the plane.
        head_points: (C, 2), the cluster heads there.
    """
    count, replicas = model.prior.classes, len(clusters)
    y = torch.eye(count, device=x.device).expand(replicas, -1, -1)
    heads = torch.cat([y, y.new_zeros(*y.shape[:-1], model.prior.style.latent)], -1)
    members = torch.full((count, MEMBERS), -1)
    for each in range(count):
        found = (clusters[0] == each).nonzero().flatten()[:MEMBERS]
        members[each, : len(found)] = found
    arrays = {"heads": model.decode(heads)[0], "members": members}
    if model.heads and model.prior.style.latent == 2:
        parts = [part.expand(replicas, -1, -1) for part in x.split(AT_ONCE)]
        codes = [model.encoder(part) for part in parts]
        arrays["embedding"] = torch.cat([model.heads(code)[0] for code in codes])
        arrays["head_points"] = model.heads(heads)[0]
    return {name: array.cpu().numpy() for name, array in arrays.items()}


class ErrorTracker:
    """The error rate on a split, while training goes on.

    Args:
        split: whose images; clusters get their class by those of the validation split.
    """

    def __init__(
        self, method: Method, dataset: Dataset, split: str, replicas: int, device: torch.device
    ):
        self.method, self.replicas = method, replicas
        self.images = Labelled.of(dataset, split, device)
        self.reader = Reader(method, Labelled.of(dataset, "validation", device), replicas)

    def __call__(self) -> Tensor:
        """Of every replica in %, (R,), its networks as they are in evaluation."""
        training = self.method.training
        self.method.eval()
        logits = class_logits(self.method.model, self.images.x, self.replicas)
        found = self.reader.classes(logits)
        self.method.train(training)
        return error_rates(found, self.images.classes)
