"""Each prior's samples against its density, and both against what is known of it."""

import math

import pytest
import torch
from scipy.stats import kstest

from aebayes.networks.priors import Categorical, Normal, Petals, SwissRoll, Uniform, make_prior
from aebayes.streams import Streams

PETALS = {"classes": 10, "radius": 4.0, "along": 1.0, "across": 0.2}
ROLL = {"classes": 10, "radius": 4.0, "turns": 2.0}
N = 20_000


def streams(replicas: int = 2) -> Streams:
    return Streams(3, range(replicas), "training")


@pytest.mark.parametrize(
    ("prior", "half_width"),
    [(Normal(2, 1.5), 12.0), (Uniform(2, 1.5), 2.0), (Petals(**PETALS), 12.0)],
    ids=lambda value: type(value).__name__,
)
def test_density_integrates_to_one_and_gives_the_samples_mean_log_density(prior, half_width):
    axis = torch.linspace(-half_width, half_width, 1201)[:-1] + half_width / 1200  # cell centres
    grid = torch.cartesian_prod(axis, axis)[None]
    log_p = prior.log_prob(grid)[0].double()
    cell = (2 * half_width / 1200) ** 2
    assert (log_p.exp().sum() * cell).item() == pytest.approx(1, abs=1e-3)
    negative_entropy = (log_p.exp() * log_p.nan_to_num(neginf=0)).sum() * cell
    sampled = prior.log_prob(prior.sample(streams(), N)).double()  # (R, N)
    error = sampled.std() / math.sqrt(sampled.numel()) + 2e-3
    assert abs(sampled.mean() - negative_entropy) < 4 * error


@pytest.mark.parametrize("settings", [{"kind": "petals", **PETALS}, {"kind": "swiss_roll", **ROLL}])
def test_classes_are_equally_likely_parts_of_the_whole(settings):
    """Which half-plane pairs a draw lies in: the whole's shares are the classes' mean shares."""
    prior = make_prior(2, settings, 1)
    directions = torch.tensor([[1.0, 0.3], [-0.2, 1.0], [0.7, -0.9]])
    whole = (prior.sample(streams(1), N) @ directions.mT > 0.5).double()[0]
    labels = torch.arange(10).repeat_interleave(N // 10)[None]
    parts = (prior.sample_class(labels, streams(1)) @ directions.mT > 0.5).double()[0]
    error = math.sqrt(0.25 / N * 2)
    assert ((whole.mean(0) - parts.mean(0)).abs() < 4 * error).all()


def test_petal_of_a_class_is_the_gaussian_it_says():
    prior = Petals(**PETALS)
    for label in range(10):
        z = prior.sample_class(torch.full((1, 4000), label), streams(1))[0].double()
        angle = 2 * math.pi * label / 10
        along = z @ torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.double)
        across = z @ torch.tensor([-math.sin(angle), math.cos(angle)], dtype=torch.double)
        assert kstest(along.numpy(), "norm", (4.0, 1.0)).pvalue > 1e-4
        assert kstest(across.numpy(), "norm", (0.0, 0.2)).pvalue > 1e-4


def test_swiss_roll_runs_outwards_class_by_class_along_its_curve():
    prior = SwissRoll(**ROLL)
    z = prior.sample_class(torch.arange(10).repeat_interleave(500)[None], streams(1))[0]
    radius = z.norm(dim=-1)
    share = (radius / 4.0).square()
    torch.testing.assert_close(prior.curve(share), z, rtol=0, atol=2e-3)  # on the curve
    assert kstest(share.double().numpy(), "uniform").pvalue > 1e-4
    ends = radius.view(10, 500)
    assert (ends[1:].amin(1) >= ends[:-1].amax(1) - 1e-6).all()
    assert not prior.has_density


@pytest.mark.parametrize("prior", [Petals(**PETALS), SwissRoll(**ROLL)], ids=["petals", "roll"])
def test_walk_stays_within_each_classs_part_and_runs_outwards(prior):
    walk = prior.walk(8)  # (classes, 8, 2)
    draws = prior.sample_class(torch.arange(10).repeat(2000, 1).T[None], streams(1))[0]
    for label in range(10):
        distances = torch.cdist(walk[label], draws[label])
        assert distances.amin(1).max() < 0.4
    outwards = walk.norm(dim=-1).diff(dim=-1)
    assert (outwards > 0).all()
    assert walk.norm(dim=-1).max() <= prior.extent() + 1e-5


def test_categorical_draws_every_class_alike_as_the_vectors_its_probability_is_of():
    prior = Categorical(5)
    z = prior.sample(streams(), N)
    counts = z.sum(1)  # (R, 5)
    assert (((counts - N / 5) / math.sqrt(N * 0.2 * 0.8)).abs() < 4.5).all()
    torch.testing.assert_close(prior.log_prob(z).exp(), torch.full((2, N), 0.2))
    others = torch.tensor([[0.5, 0.5, 0, 0, 0], [1, 1, 0, 0, -1.0], [0, 0, 0, 0, 0]])
    assert prior.log_prob(others).tolist() == [-math.inf] * 3


def test_known_labels_draw_their_own_vector_and_unknown_ones_any():
    prior = Categorical(4)
    labels = torch.tensor([0, 1, 2, 3, 4]).repeat_interleave(400)[None]  # 4: unknown
    z = prior.sample_known(labels, streams(1))[0]
    assert torch.equal(z[:1600].argmax(1), labels[0, :1600])
    counts = z[1600:].sum(0)
    assert ((counts - 100).abs() < 4.5 * math.sqrt(400 * 0.25 * 0.75)).all()


def test_uniform_has_no_mass_outside_its_cube():
    log_p = Uniform(3, 2.0).log_prob(torch.tensor([[1.9, -1.9, 0.0], [2.1, 0.0, 0.0]]))
    assert log_p.tolist() == [pytest.approx(-3 * math.log(4)), -math.inf]


def test_replicas_draw_from_streams_of_their_own():
    for prior in (Normal(2, 5.0), Uniform(2, 1.0), Petals(**PETALS), SwissRoll(**ROLL)):
        both = prior.sample(streams(2), 50)
        alone = prior.sample(Streams(3, [1], "training"), 50)
        torch.testing.assert_close(both[1], alone[0])
        assert not torch.equal(both[0], both[1])
