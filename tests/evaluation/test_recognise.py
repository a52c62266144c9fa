import numpy as np
import pytest
import tiny
import torch

from aebayes.data.dataset import Dataset
from aebayes.evaluation.recognise import decoded_by_class, recognition
from aebayes.methods.make import make_method
from aebayes.streams import Streams

CLASSES = 10


@pytest.fixture
def dataset() -> Dataset:
    """Ten classes of 64 pixels, each bright in six pixels of its own."""
    random = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % CLASSES
        images = random.integers(0, 4, (count, 64))
        for row, label in zip(images, labels, strict=True):
            row[6 * label : 6 * label + 6] = 15
        return images.astype(np.uint8).reshape(-1, 1, 8, 8), labels

    return Dataset("bars", (1, 8, 8), 16, CLASSES, "", {"train": split(300), "test": split(50)})


def told_model():
    method = make_method(
        tiny.experiment("aae_style", "digits"), torch.full((64,), 0.5), [0, 1], torch.device("cpu")
    )
    return method.model


def test_the_same_codes_are_decoded_as_every_class():
    model = told_model()
    seen = []
    model.outputs = lambda z, told: seen.append((z, told)) or torch.zeros(*z.shape[:-1], 64)
    images, labels = decoded_by_class(model, Streams(1, [0, 1], "test"), 3)
    assert images.shape == (2, CLASSES, 3, 64)
    assert torch.equal(labels, torch.arange(CLASSES))
    z, told = (each.unflatten(1, (CLASSES, 3)) for each in seen[0])
    assert torch.equal(z, z[:, :1].expand_as(z))
    assert torch.equal(told.argmax(-1), labels.view(1, -1, 1).expand(2, -1, 3))


@pytest.mark.parametrize("shift", [0, 1])
def test_what_is_decoded_as_its_class_is_recognised_and_nothing_else(dataset, shift):
    model = told_model()
    patterns = torch.zeros(CLASSES, 64)
    for label in range(CLASSES):
        patterns[(label + shift) % CLASSES, 6 * label : 6 * label + 6] = 1.0
    model.decode = lambda z, told: told @ patterns
    metrics = recognition(model, dataset, Streams(1, [0, 1], "test"))
    assert metrics["recognised"].replicas == [1.0 - shift] * 2
    assert metrics["classifier_accuracy"].replicas == [1.0] * 2


def test_codes_come_from_the_classes_own_part_of_the_prior_where_the_decoder_is_told_nothing():
    experiment = tiny.experiment("aae", "digits")
    petals = {"kind": "petals", "classes": 5, "radius": 9.0, "along": 0.1, "across": 0.1}
    experiment["model"]["prior"] = petals
    model = make_method(experiment, torch.full((64,), 0.5), [0], torch.device("cpu")).model
    model.decode = lambda z: z
    codes, labels = decoded_by_class(model, Streams(2, [0], "test"), 40)
    means = model.prior.radius * model.prior.axes(codes.device)[0]
    assert torch.equal(torch.cdist(codes[0], means).argmin(-1), labels.unsqueeze(-1).expand(5, 40))
