"""Error rates and clusters, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from scipy.stats import entropy
from sklearn.metrics import adjusted_rand_score
from torch import nn

from aebayes.data.dataset import load
from aebayes.evaluation.classes import (
    MEMBERS,
    Labelled,
    Reader,
    class_arrays,
    class_logits,
    cluster_classes,
    disagreements,
    error_rates,
    first_of_each,
    partition_metrics,
    purity,
)
from aebayes.evaluation.run import evaluate
from aebayes.files import read_json, read_npz
from aebayes.methods.make import make_method
from aebayes.runs import load_checkpoint
from aebayes.training.run import train

CPU = torch.device("cpu")


def test_a_cluster_takes_the_class_of_the_image_with_the_highest_probability_of_it():
    logits = torch.tensor([[[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]]])
    assert cluster_classes(logits, torch.tensor([7, 8, 9])).tolist() == [[7, 9]]


def test_a_highest_probability_need_not_be_the_images_own_cluster():
    """No image is in cluster 1: the one that comes nearest to it names it."""
    logits = torch.tensor([[[5.0, 0.0], [2.0, 1.0], [9.0, -3.0]]])
    assert cluster_classes(logits, torch.tensor([4, 5, 6])).tolist() == [[6, 5]]


def test_of_equal_probabilities_the_first_image_counts():
    logits = torch.tensor([[[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]])
    assert cluster_classes(logits, torch.tensor([1, 2, 3, 4])).tolist() == [[1, 3]]


def test_probabilities_that_round_to_1_are_still_told_apart():
    logits = torch.tensor([[[40.0, 0.0], [60.0, 0.0], [0.0, 50.0]]])
    assert logits.softmax(-1)[0, :2, 0].tolist() == [1.0, 1.0]
    assert cluster_classes(logits, torch.tensor([1, 2, 3])).tolist() == [[2, 3]]


def test_logits_count_as_probabilities_whatever_is_added_to_all_of_an_images():
    logits = torch.tensor([[[3.0, 0.0], [101.0, 100.0], [0.0, 2.0]]])
    assert cluster_classes(logits, torch.tensor([7, 8, 9])).tolist() == [[7, 9]]


def test_error_rates_are_shares_of_wrong_classes():
    found = torch.tensor([[0, 1, 2, 2], [3, 3, 3, 3]])
    assert error_rates(found, torch.tensor([0, 1, 2, 3])).tolist() == [25.0, 75.0]


def test_disagreement_is_the_mean_over_the_other_replicas():
    """The first two differ in one image of four, the third from the first in two, or in three."""
    found = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 9], [0, 9, 9, 3]])
    assert disagreements(found).tolist() == [37.5, 50.0, 62.5]
    assert disagreements(found[[0, 0]]).tolist() == [0.0, 0.0]


def test_disagreement_of_calibrated_classifiers_is_their_error_in_expectation():
    """Each image's class and each replica's guess are draws from the same p(y|x)."""
    images, replicas = 20_000, 4
    p = torch.distributions.Dirichlet(torch.full((3,), 0.5)).sample((images,))
    classes = torch.multinomial(p, 1).squeeze(1)
    found = torch.multinomial(p, replicas, replacement=True).T
    expected = 100 * float(1 - p.square().sum(1).mean())
    of_one = math.sqrt(expected * (100 - expected) / images)
    assert float(disagreements(found).mean()) == pytest.approx(expected, abs=4 * of_one)
    assert float(error_rates(found, classes).mean()) == pytest.approx(expected, abs=4 * of_one)


def test_few_images_are_the_first_of_each_class_and_at_most_all():
    classes = torch.tensor([2, 0, 2, 2, 0, 5, 5])
    assert first_of_each(classes, 3).tolist() == [1, 0, 5]
    assert first_of_each(classes, 6).tolist() == [1, 4, 0, 2, 5, 6]
    assert first_of_each(classes, 8).tolist() == list(range(7))


def test_purity_counts_the_commonest_class_of_each_cluster_and_nothing_for_empty_ones():
    clusters = torch.tensor([[0, 0, 0, 2, 2, 2]])
    classes = torch.tensor([1, 1, 0, 0, 0, 0])
    assert purity(clusters, classes, 4).tolist() == [5 / 6]
    assert purity(torch.arange(6).unsqueeze(0), classes, 6).tolist() == [1.0]


def test_partitions_are_compared_whatever_the_clusters_are_called():
    classes = torch.tensor([0, 0, 1, 1, 2, 2])
    clusters = torch.tensor([[5, 5, 0, 0, 3, 3], [0, 1, 0, 1, 0, 1]])
    metrics = partition_metrics(clusters, classes, 6)
    for name in ("adjusted_rand", "mutual_information", "purity"):
        assert metrics[name].replicas[0] == pytest.approx(1.0)
    assert metrics["adjusted_rand"].replicas[1] == adjusted_rand_score(classes, clusters[1])


def test_mutual_information_is_normalised_by_the_mean_of_both_entropies():
    classes = torch.tensor([0, 0, 0, 1])
    clusters = torch.tensor([[0, 0, 1, 1]])
    together = entropy([2 / 4, 1 / 4, 1 / 4])  # of (0, 0), (0, 1) and (1, 1)
    mutual = entropy([3 / 4, 1 / 4]) + math.log(2) - together
    expected = mutual / ((entropy([3 / 4, 1 / 4]) + math.log(2)) / 2)
    metrics = partition_metrics(clusters, classes, 2)
    assert metrics["mutual_information"].replicas == pytest.approx([expected])


def test_clusters_are_named_by_each_replicas_view_of_the_validation_images():
    """Two replicas that call the clusters otherwise; test images have no say."""
    method = SimpleNamespace(takes_labelled=False, model=nn.Module())
    method.model.encoder = SimpleNamespace(
        logits=lambda x: x * torch.tensor([1.0, -1.0]).view(2, 1, 1)
    )
    validation = Labelled(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([4, 7]))
    reader = Reader(method, validation, 2)
    # Validation's first image is in the first replica's cluster 0, and in the second's cluster 1.
    logits = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).expand(2, -1, -1)
    assert reader.classes(logits).tolist() == [[4, 7], [7, 4]]


def test_members_are_the_first_images_of_each_cluster_and_blanks():
    experiment = tiny.experiment("categorical_aae", "digits")
    experiment["model"]["decoder"] = tiny.LAYERS | {"heads_apart": 3.0}
    method = make_method(experiment, torch.full((1, 8, 8), 0.5), [0, 1], CPU).eval()
    clusters = torch.zeros(2, 40, dtype=torch.int64)
    clusters[0, [3, 8]] = 2
    x = torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        arrays = class_arrays(method.model, clusters, x)
        codes = method.model.encoder(x.expand(2, -1, -1))
        represented = method.model.heads(codes)[0]
    assert arrays["members"][2].tolist() == [3, 8] + [-1] * (MEMBERS - 2)
    assert arrays["members"][0].tolist() == [0, 1, 2, 4, 5, 6, 7, 9, 10]
    np.testing.assert_allclose(arrays["embedding"], represented)
    heads = 3.0 * method.model.heads.heads.weight[0].detach()
    np.testing.assert_allclose(arrays["head_points"], heads, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["categorical_aae", "m2", "classifier"])
def test_every_method_with_classes_is_trained_and_evaluated(prepared, tmp_path, method):
    experiment = tiny.experiment(method, "digits", steps=300)
    data = prepared / "digits.npz"
    train(experiment, data, tmp_path, tmp_path / "resume", "cpu")
    evaluate(experiment, data, tmp_path, "cpu")
    error = read_json(tmp_path / "metrics.json")["metrics"]["error"]
    assert max(error["replicas"]) < 70  # by chance 90
    assert error["unit"] == "%"
    assert ("heads" in read_npz(tmp_path / "arrays.npz")) == (method != "classifier")


def test_settings_are_judged_on_validation_images_by_as_many_labels_as_are_told(prepared, tmp_path):
    experiment = tiny.experiment("classifier", "digits", steps=100)
    data = prepared / "digits.npz"
    train(experiment, data, tmp_path, tmp_path / "resume", "cpu")
    evaluate(experiment, data, tmp_path, "cpu")
    metrics = read_json(tmp_path / "metrics.json")["metrics"]
    dataset = load(data)
    method, replicas = load_checkpoint(
        tmp_path / "checkpoint.safetensors", experiment, dataset, CPU
    )
    assert len(replicas) == 2
    held_out = Labelled.of(dataset, "validation", CPU)
    first, second = class_logits(method.model, held_out.x, 2).argmax(-1)
    differ = 100 * float((first != second).double().mean())
    assert 0 < differ < 100
    assert metrics["disagreement"]["replicas"] == pytest.approx([differ, differ])
    told = experiment["objective"]["labelled"]
    assert 10 <= told < len(held_out.x)
    labels = held_out.classes.tolist()
    few = [n for n, c in enumerate(labels) if labels[:n].count(c) < told // 10]
    wrong = [float((found != held_out.classes)[few].double().mean()) for found in (first, second)]
    assert metrics["validation_error"]["replicas"] == pytest.approx([100 * w for w in wrong])


def test_tracked_error_is_that_of_the_evaluation_at_the_end(prepared, tmp_path):
    experiment = tiny.experiment("categorical_aae", "digits")
    del experiment["objective"]["labelled"], experiment["training"]["phases"]["classification"]
    data = prepared / "digits.npz"
    train(experiment, data, tmp_path, tmp_path / "resume", "cpu")
    evaluate(experiment, data, tmp_path, "cpu")
    metrics = read_json(tmp_path / "metrics.json")["metrics"]
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0].split(",")[-1] == "error"
    last = [float(line.split(",")[-1]) for line in lines[-2:]]
    np.testing.assert_allclose(last, metrics["error"]["replicas"], rtol=1e-5)
    assert {"adjusted_rand", "mutual_information", "purity"} <= set(metrics)
    assert "disagreement" in metrics
    assert "validation_error" not in metrics  # no labels are told
