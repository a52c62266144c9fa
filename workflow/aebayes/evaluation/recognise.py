"""Whether a classifier of real images sees in a decoded image the class that was asked for."""

import math

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import one_hot

from aebayes.data.dataset import Dataset
from aebayes.evaluation.metrics import Metric
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams

IMAGES_A_CLASS = 100
NEIGHBOURS = 3


def decoded_by_class(model: AutoEncoder, streams: Streams, a_class: int) -> tuple[Tensor, Tensor]:
    """Images of every class, and the classes: (R, C, N, X), (C,).

    A decoder that is told the class gets the same N codes with each; otherwise codes come from the
    class's own part of the prior.
    """
    classes = model.classes or model.prior.classes
    labels = torch.arange(classes, device=streams.device)
    if not model.classes:
        each = labels.view(1, -1, 1).expand(len(streams), -1, a_class)
        return model.decode(model.prior.sample_class(each, streams)), labels
    z = model.prior.sample(streams, 1, a_class).expand(-1, classes, -1, -1)
    told = one_hot(labels, classes).float().repeat_interleave(a_class, 0)
    images = model.decode(z.flatten(1, 2), told.expand(len(streams), -1, -1))
    return images.unflatten(1, (classes, a_class)), labels


def recognition(model: AutoEncoder, dataset: Dataset, streams: Streams) -> dict[str, Metric]:
    """How often nearest training images are of the class asked for, or of a test image's own.

    `recognised` is of `IMAGES_A_CLASS` decoded images a class, `classifier_accuracy` of the test
    images: what the classifier, by `NEIGHBOURS` nearest neighbours in pixel space, is worth.
    """
    # Two seconds that every other evaluation would wait for.
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = decoded_by_class(model, streams, IMAGES_A_CLASS)
    wanted = labels.repeat_interleave(IMAGES_A_CLASS).cpu().numpy()
    (train, train_labels), (test, test_labels) = map(dataset.split, ("train", "test"))
    with threadpool_limits(torch.get_num_threads()):
        classifier = KNeighborsClassifier(NEIGHBOURS, algorithm="brute", n_jobs=1)
        classifier.fit(train.reshape(len(train), -1) / dataset.scale, train_labels)
        shares = [classifier.score(each.flatten(0, 1).cpu().numpy(), wanted) for each in images]
        accuracy = classifier.score(test.reshape(len(test), -1) / dataset.scale, test_labels)
    errors = [math.sqrt(share * (1 - share) / len(wanted)) for share in shares]
    return {
        "recognised": Metric.of(shares, "share", standard_error=errors),
        "classifier_accuracy": Metric.of([accuracy] * len(shares), "share"),
    }
