import functools
import math

import pytest
import torch
from truths import linear_gaussian, marginal, posterior, two_layers_apart

from aebayes.evaluation import annealing
from aebayes.evaluation.annealed_likelihood import Parts, annealed_metrics
from aebayes.evaluation.annealing import Chains, Ladder, annealed, slope_of
from aebayes.evaluation.likelihood import CHUNK_ELEMENTS, log_likelihood_bound
from aebayes.evaluation.proposals import Proposal, prior_log_weights
from aebayes.streams import Streams

REPLICAS = [0, 1]
SEEDS = 8


def from_prior(model, x):
    return Proposal(x, model.latent, functools.partial(prior_log_weights, model))


def made(model, count, seed=0):
    """The noise of draws from p(z), and an image that the model makes of each."""
    streams = Streams(seed, REPLICAS, "images")
    noise = streams.normal(count, model.latent)
    outputs = model.outputs(model.prior.transform(noise))
    return noise, model.likelihood.sample(outputs, streams)


def over_seeds(draws):
    """Mean and standard error of numbers, (R,) for each seed."""
    draws = torch.stack(draws)
    return draws.mean(0), draws.std(0) / math.sqrt(len(draws))


def truth(model, x):
    return torch.stack([marginal(model, r).log_prob(x[r]) for r in REPLICAS]).double()


@pytest.mark.parametrize("latent", [2, 8])
@pytest.mark.parametrize("schedule", ["linear", "sigmoid"])
def test_weights_average_to_the_closed_form_of_a_linear_gaussian_model(latent, schedule):
    model = linear_gaussian(latent=latent).requires_grad_(False)
    noise, x = made(model, 20)
    ladder = Ladder(200, schedule, 5, 0.7, 60)
    forward, backward = annealed(
        from_prior(model, x), ladder, 200, Streams(1, REPLICAS, "t"), noise
    )
    exact = truth(model, x).unsqueeze(1)
    # E w = p(x) from the prior, and E 1 / w = 1 / p(x) from the posterior.
    for weights, sign in ((forward, 1), (backward, -1)):
        ratios = (weights.log_weights - sign * exact).exp()
        error = ratios.std(1) / math.sqrt(ratios.shape[1])
        assert error.median() < 0.1
        assert ((ratios.mean(1) - 1).abs() < 5 * error).all()  # each of 40 images
        pooled = error.square().sum().sqrt() / error.numel()
        assert (ratios.mean() - 1).abs() < 3 * pooled
    assert abs(forward.acceptance.mean() - 0.7) < 0.15


def test_chains_that_count_take_the_step_sizes_that_the_burn_in_found(monkeypatch):
    """Weights of chains whose steps depended on the chains would not be unbiased."""
    model = linear_gaussian(latent=2).requires_grad_(False)
    noise, x = made(model, 3)
    taken, found = [], []
    move, find = Chains.move, annealing.step_sizes

    def moved(self, beta, step, leapfrog, streams):
        taken.append((beta, step))
        return move(self, beta, step, leapfrog, streams)

    def sizes(*given):
        found.append(find(*given))
        return found[0]

    monkeypatch.setattr(Chains, "move", moved)
    monkeypatch.setattr(annealing, "step_sizes", sizes)
    annealed(
        from_prior(model, x), Ladder(20, "linear", 3, 0.7, 10), 8, Streams(1, REPLICAS, "t"), noise
    )
    (sizes_found,) = found
    assert len(sizes_found) == 10
    assert not torch.equal(sizes_found[0], sizes_found[-1])  # the burn-in did adapt them
    forward, backward = taken[9:28], taken[28:]  # after the burn-in's nine moves
    assert len(backward) == 19
    for beta, step in forward + backward:
        assert torch.equal(step, sizes_found[round(9 * round(20 * beta) / 20)])


def test_a_trajectory_leaves_its_target_invariant():
    model = linear_gaussian(latent=2).requires_grad_(False)
    _, x = made(model, 1)
    beta, count = 1.0, 4000
    exact = [posterior(model, r, x[r]) for r in REPLICAS]
    torch.manual_seed(0)
    start = torch.stack([each.sample((count,)) for each in exact])  # (R, C, 1, 2)
    streams = Streams(2, REPLICAS, "t")
    chains = Chains(start, slope_of(from_prior(model, x)))
    step = torch.full((2, 1, 1, 1), 0.5)
    moved = torch.stack([chains.move(beta, step, 5, streams) for _ in range(5)]).float().mean()
    assert 0.3 < moved < 0.99
    for replica, each in enumerate(exact):
        white = (chains.noise[replica, :, 0] - each.mean) @ torch.linalg.inv(each.scale_tril[0]).T
        assert (white.mean(0).abs() < 4 / math.sqrt(count)).all()
        assert ((white.var(0) - 1).abs() < 4 * math.sqrt(2 / count)).all()
        assert abs((white[:, 0] * white[:, 1]).mean()) < 4 / math.sqrt(count)


SETTINGS = {
    "start": "prior",
    "temperatures": 60,
    "schedule": "sigmoid",
    "leapfrog": 5,
    "acceptance": 0.7,
    "burn_in": 30,
    "chains": 8,
    "images": 30,
    "simulated_images": 20,
}


@pytest.mark.parametrize(("start", "latent"), [("prior", 2), ("fitted", 2), ("fitted", 8)])
def test_metrics_are_log_p_and_a_gap_that_holds_it(start, latent):
    model = linear_gaussian(latent=latent).requires_grad_(False)
    _, x = made(model, 40)
    settings = SETTINGS | {"start": start}
    runs = [annealed_metrics(model, x, settings, Streams(s, REPLICAS, "t")) for s in range(SEEDS)]
    exact = truth(model, x)[:, :30].mean(1)
    below, below_error = over_seeds(
        [exact - torch.tensor(run["annealed"].replicas) for run in runs]
    )
    gap, gap_error = over_seeds([torch.tensor(run["annealed_gap"].replicas) for run in runs])
    # A lower bound in expectation, and no farther from log p(x) than the gap says.
    assert (below > -4 * below_error).all()
    assert (below < gap + 4 * (below_error + gap_error)).all()
    assert (gap > -4 * gap_error).all()
    assert (gap < 0.2).all()
    for run in runs:
        each = torch.tensor(run["annealed"].images)
        assert each.shape == (len(REPLICAS), 30)
        assert each.mean(1).tolist() == pytest.approx(run["annealed"].replicas)
        assert all(0.5 < share < 0.95 for share in run["annealed_acceptance"].replicas)


def test_two_layers_anneal_from_their_prior_to_the_same_numbers_as_importance_samples():
    model = two_layers_apart(coupling=0.5).requires_grad_(False)
    streams = Streams(4, REPLICAS, "t")
    x = model.likelihood.sample(model.outputs(model.prior.sample(streams, 20)), streams)
    settings = SETTINGS | {"images": 20, "chains": 50}
    differences = []
    for seed in range(SEEDS):
        streams = Streams(seed, REPLICAS, "t")
        annealed = annealed_metrics(model, x, settings, streams)["annealed"]
        sampled = log_likelihood_bound(from_prior(model, x), 20_000, streams).mean(1)
        differences.append(torch.tensor(annealed.replicas) - sampled)
    mean, error = over_seeds(differences)
    # Both are below by half the variance of their means of weights, a few thousandths of a nat.
    assert (mean.abs() < 4 * error + 5e-3).all()


@pytest.mark.parametrize("done", [1, 3])
def test_an_evaluation_that_was_killed_goes_on_with_the_same_numbers(tmp_path, monkeypatch, done):
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 10 * 2 * 8 * 4)  # ten images at once: five batches
    model = linear_gaussian().requires_grad_(False)
    _, x = made(model, 40)

    def metrics(path, fingerprint="same"):
        parts = Parts(path, fingerprint)
        return annealed_metrics(model, x, SETTINGS, Streams(3, REPLICAS, "t"), parts=parts)

    undisturbed, path = metrics(None), tmp_path / "state.safetensors"
    add = Parts.add

    def killed(self, part, streams):
        add(self, part, streams)
        if len(self.done) == done:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Parts, "add", killed)
        metrics(path)
    assert metrics(path) == undisturbed
    # What another checkpoint's evaluation left, or what is no such file, is not gone on from.
    assert metrics(path, "another") == undisturbed
    path.write_bytes(b"broken")
    assert metrics(path) == undisturbed


def test_state_with_a_bit_that_is_wrong_is_not_gone_on_from(tmp_path):
    path, streams = tmp_path / "state.safetensors", Streams(0, REPLICAS, "t")
    Parts(path, "same").add({"lower": torch.full((len(REPLICAS), 3), -80.0)}, streams)
    sound = Parts(path, "same")
    sound.load(streams)
    assert len(sound.done) == 1
    content = path.read_bytes()
    place = content.index(torch.tensor(-80.0).numpy().tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    spoilt = Parts(path, "same")
    spoilt.load(streams)
    assert spoilt.done == []
