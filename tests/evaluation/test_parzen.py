import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.neighbors import KernelDensity

from aebayes.evaluation import parzen
from aebayes.evaluation.neighbours import precision_and_recall
from aebayes.evaluation.parzen import log_densities, parzen_window
from aebayes.streams import Streams

SDS = [0.1, 0.3, 2.0]


def points(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("at_once", [7, 150, 400])
@pytest.mark.parametrize("elements", [64, 1 << 20])
def test_log_densities_are_scikit_learns_however_they_are_cut(monkeypatch, at_once, elements):
    monkeypatch.setitem(parzen.CHUNK_ELEMENTS, "cpu", elements)
    images, samples = points(0, 50, 5), points(1, 2, 400, 5)
    found = log_densities(images, samples.split(at_once, 1), SDS)
    assert found.shape == (2, 3, 50)
    for replica in range(2):
        for row, sd in zip(found[replica], SDS, strict=True):
            density = KernelDensity(bandwidth=sd).fit(samples[replica].double().numpy())
            expected = density.score_samples(images.double().numpy())
            np.testing.assert_allclose(row.numpy(), expected, atol=1e-4)


def test_far_images_keep_a_finite_density():
    found = log_densities(torch.full((1, 784), 5.0), [torch.zeros(1, 3, 784)], [0.1])
    expected = norm.logpdf(5.0, scale=0.1) * 784
    assert found.item() == pytest.approx(expected, rel=1e-6)


class Normal:
    """A model whose samples are N(0, sd² I) in two dimensions."""

    def __init__(self, sd: float):
        self.sd = sd

    def sample(self, streams: Streams, count: int) -> torch.Tensor:
        return self.sd * streams.normal(count, 2)


def test_many_samples_approach_the_density_that_they_are_drawn_from():
    """Windows of σ on N(0, s²) make N(0, s² + σ²): the mean log density is a closed form."""
    streams = Streams(1, [0, 1], "test")
    images = streams.normal(600, 2)[0]
    validation, test = images[:300], images[300:]
    densities, deviations = parzen_window(Normal(0.9), validation, test, 50_000, streams)
    assert densities.shape == (2, 300)
    for row, sd in zip(densities, deviations, strict=True):
        total = math.sqrt(0.9**2 + sd**2)
        expected = norm.logpdf(test.double().numpy(), scale=total).sum(1)
        assert np.abs(row.numpy() - expected).mean() < 0.03
        # s² + σ² = 1 is the data's own variance: of the grid, the nearest to 0.44.
        assert sd == pytest.approx(0.4642, abs=0.12)


def test_deviation_is_chosen_on_validation_images_alone():
    streams = Streams(2, [0], "test")
    near, far = torch.zeros(50, 2), torch.full((50, 2), 1.5)
    model = Normal(0.05)
    _, narrow = parzen_window(model, near, far, 500, streams)
    _, wide = parzen_window(model, far, near, 500, streams)
    assert narrow == [pytest.approx(0.1)]
    assert wide == [pytest.approx(1.0)]


def test_precision_and_recall_of_a_model_that_has_half_the_modes_and_one_of_its_own():
    generator = torch.Generator().manual_seed(4)
    clusters = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])

    def around(*which: int) -> torch.Tensor:
        return torch.cat([clusters[i] + torch.randn(200, 2, generator=generator) for i in which])

    precision, recall = precision_and_recall(around(0, 1), around(0, 2), k=10)
    assert precision == pytest.approx(0.5, abs=0.05)
    assert recall == pytest.approx(0.5, abs=0.05)
    assert precision_and_recall(around(0, 1), around(0, 1), k=10)[0] > 0.9


def test_reach_is_the_distance_to_the_kth_neighbour():
    real = torch.tensor([[0.0], [1.0], [3.0]])
    # Reaches with k = 1: 1, 1, 2. Samples at −1 and 5 lie on the rim, at 5.1 beyond it.
    samples = torch.tensor([[-1.0], [5.0], [5.1], [0.5]])
    assert precision_and_recall(real, samples, k=1)[0] == 0.75
