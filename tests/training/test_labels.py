"""Which labels a method is told."""

import json
from dataclasses import replace

import pytest
import tiny
import torch

from aebayes.data.dataset import load
from aebayes.errors import AebayesError
from aebayes.settings import with_steps
from aebayes.training.labels import hide_others, labelled_images
from aebayes.training.loop import Interruptions
from aebayes.training.run import labelled_of, make_trainer, train

LABELS = torch.arange(300) % 3


def experiment(labelled: object, seed: int = 4) -> dict:
    """What the choice depends on."""
    return {"name": "e", "objective": {"labelled": labelled}, "training": {"seed": seed}}


def test_classes_are_balanced_and_no_image_is_taken_twice():
    known = labelled_images(LABELS, 3, experiment(91), [0, 1])
    for row in known:
        assert torch.equal(LABELS[row].bincount(), torch.tensor([31, 30, 30]))
        assert torch.equal(row.unique(), row)  # ascending


def test_choice_depends_on_seed_and_replica_alone():
    both = labelled_images(LABELS, 3, experiment(30), [0, 1])
    assert torch.equal(both[1:], labelled_images(LABELS, 3, experiment(30), [1]))
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, labelled_images(LABELS, 3, experiment(30, seed=5), [0, 1]))


def test_unbalanced_they_are_a_sample_of_all_images():
    """Classes' counts spread as a hypergeometric's: variance 6.0 about 10."""
    settings = experiment(30) | {"objective": {"labelled": 30, "balanced": False}}
    known = labelled_images(LABELS, 3, settings, list(range(400)))
    assert known.shape == (400, 30) and (known.diff(dim=1) > 0).all()
    counts = (LABELS[known] == 0).sum(1).double()
    variance = 30 * (1 / 3) * (2 / 3) * (270 / 299)
    assert counts.mean().item() == pytest.approx(10, abs=4 * (variance / 400) ** 0.5)
    assert counts.var().item() == pytest.approx(variance, rel=4 * (2 / 400) ** 0.5)
    assert torch.equal(known[7:8], labelled_images(LABELS, 3, settings, [7]))


def test_all_are_all_of_them():
    known = labelled_images(LABELS, 3, experiment("all"), [0, 1])
    assert torch.equal(known, torch.arange(300).expand(2, -1))


def test_more_than_there_are_of_a_class_is_refused_by_name():
    with pytest.raises(AebayesError, match="labelled is 301, 101 of class 0, of which there are"):
        labelled_images(LABELS, 3, experiment(301), [0])
    unbalanced = experiment(301) | {"objective": {"labelled": 301, "balanced": False}}
    with pytest.raises(AebayesError, match="labelled is 301, of 300 training images"):
        labelled_images(LABELS, 3, unbalanced, [0])


def test_fewer_than_one_of_each_class_are_refused():
    with pytest.raises(AebayesError, match="labelled is 2, fewer than the 3 classes"):
        labelled_images(LABELS, 3, experiment(2), [0])


def test_hidden_labels_say_nothing_and_known_ones_are_true():
    known = labelled_images(LABELS, 3, experiment(30), [0, 1])
    labels = hide_others(LABELS, known, 3)
    assert (labels < 3).sum(1).tolist() == [30, 30]
    for row, chosen in zip(labels, known, strict=True):
        assert torch.equal((row < 3).nonzero().flatten(), chosen)
        assert torch.equal(row[chosen], LABELS[chosen])


def test_images_that_are_told_are_none_of_the_validation_or_test_images(prepared):
    dataset = load(prepared / "digits.npz")
    settings = tiny.experiment("categorical_aae", "digits")
    known = labelled_of(settings, dataset, [0, 1])
    images, _ = dataset.split("train")
    told = {image.tobytes() for row in known for image in images[row]}
    assert len(told) > 30  # of two replicas
    for split in ("validation", "test"):
        assert told.isdisjoint(image.tobytes() for image in dataset.split(split)[0])


def test_without_labels_none_reaches_training(prepared, tmp_path):
    """Clusters of data whose labels are all another end in the same checkpoint."""
    settings = tiny.experiment("categorical_aae", "digits", steps=10)
    del settings["objective"]["labelled"], settings["training"]["phases"]["classification"]
    settings["training"].pop("track")
    true = load(prepared / "digits.npz")
    turned = {split: (x, (y + 1) % 10) for split, (x, y) in true.arrays.items()}
    ends = []
    for dataset in (true, replace(true, arrays=turned)):
        whole = with_steps(settings, len(dataset.split("train")[0]))
        cpu = torch.device("cpu")
        trainer = make_trainer(whole, dataset, [0, 1], cpu, tmp_path / "resume", "")
        trainer.run(Interruptions())
        ends.append(trainer.method.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_no_label_that_is_not_told_reaches_training(prepared, tmp_path, monkeypatch):
    """Training on data whose other labels are scrambled ends in the same checkpoint."""
    settings = tiny.experiment("categorical_aae", "digits", steps=10)
    settings["training"].pop("track")
    data = prepared / "digits.npz"
    train(settings, data, tmp_path / "true", tmp_path / "r", "cpu")
    facts = json.loads((tmp_path / "true" / "training.json").read_text())
    assert [len(row.split()) for row in facts["labelled_images"]] == [30, 30]

    def scrambled(labels, known, classes):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randint(classes, labels.shape, generator=generator)
        rows = labels.expand(len(known), -1)
        told = torch.zeros_like(rows, dtype=torch.bool).scatter(1, known, True)
        return hide_others(labels, known, classes).where(told, noise)

    monkeypatch.setattr("aebayes.training.run.hide_others", scrambled)
    train(settings, data, tmp_path / "scrambled", tmp_path / "r", "cpu")
    both = [
        (tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("true", "scrambled")
    ]
    assert both[0] == both[1]
