import math

import pytest
import torch
from truths import linear_gaussian, marginal, settings, two_layers_apart, unlabelled

from aebayes.methods.iwae import IWAE, log_mean_exp, systematic
from aebayes.streams import Streams

X = torch.tensor([[0.2, 0.9, -0.5, 0.3], [1.0, -0.2, 0.4, 0.1]])
K = 8


def iwae(model=None, **objective):
    experiment = {
        "model": settings("gaussian", 2),
        "objective": {"samples": K, "weighting": "importance", "gradient": "standard"} | objective,
    }
    method = IWAE(experiment, (4,), 2)
    method.model = model or linear_gaussian()
    return method


def bounds(method, copies=500, seeds=16):
    """−loss, its mean over seeds and that mean's standard error: two of (R,)."""
    x = X.repeat(copies, 1).expand(2, -1, -1)
    (phase,) = method.phases()
    with torch.no_grad():
        values = -torch.stack(
            [phase(unlabelled(x), Streams(s, [0, 1], "test")) for s in range(seeds)]
        )
    return values.mean(0), values.std(0) / math.sqrt(seeds)


def test_bound_rises_with_k_towards_log_p_x_of_a_linear_gaussian_model():
    truth = torch.stack([marginal(linear_gaussian(), r).log_prob(X).mean() for r in range(2)])
    found = [bounds(iwae(samples=k), copies) for k, copies in ((1, 2000), (8, 500), (64, 100))]
    gaps = torch.stack([truth - mean for mean, _ in found])
    errors = torch.stack([error for _, error in found])
    assert (gaps > -4 * errors).all()
    assert (gaps[:-1] - gaps[1:] > 4 * errors[:-1]).all()
    # log p(x) − L_k falls as 1/k: Domke & Sheldon 2018, theorem 3.
    assert (gaps[-1] < gaps[0] / 16 + 4 * errors[-1]).all()


def test_average_of_k_is_the_bound_of_one():
    one, error_one = bounds(iwae(samples=1), 4000)
    average, error = bounds(iwae(samples=K, weighting="average"))
    assert ((one - average).abs() < 4 * torch.hypot(error_one, error)).all()


def test_pretraining_maximises_the_average_of_its_samples_before_the_bound_of_k():
    method = iwae(pretraining_samples=3)
    pretraining, bound = method.phases()
    assert [pretraining.name, bound.name] == ["pretraining", "bound"]
    x = X.expand(2, -1, -1)
    (noise,) = pretraining.draw(unlabelled(x), Streams(3, [0, 1], "test"))
    expected = iwae(method.model, samples=3, weighting="average").loss(x, noise)
    torch.testing.assert_close(pretraining.loss(x, noise), expected)
    assert noise.shape[1] == 3
    assert bound.draw(unlabelled(x), Streams(3, [0, 1], "test"))[0].shape[1] == K


@pytest.mark.parametrize("gradient", ["standard", "doubly_reparameterised"])
def test_every_way_to_differentiate_reports_the_same_bound_for_the_same_draws(gradient):
    x = X.expand(2, -1, -1)
    plain, other = iwae(), iwae(gradient=gradient, draws=3)
    noise, u = other.draw(unlabelled(x), Streams(3, [0, 1], "test"))
    torch.testing.assert_close(other.loss(x, noise, u), plain.loss(x, noise))


@pytest.mark.parametrize(
    "objective",
    [{}, {"weighting": "average"}, {"gradient": "doubly_reparameterised"}, {"draws": 5}],
)
def test_samples_in_chunks_give_the_same_bound_and_gradient(monkeypatch, objective):
    x = X.expand(2, -1, -1)
    method = iwae(two_layers_apart(0.3), **objective)
    draws = method.draw(unlabelled(x), Streams(3, [0, 1], "test"))
    results = []
    for elements in (1 << 26, 3 * x.numel()):
        monkeypatch.setattr("aebayes.methods.iwae.CHUNK_ELEMENTS", elements)
        loss = method.loss(x, *draws)
        gradient = torch.autograd.grad(loss.sum(), list(method.model.parameters()))
        results.append([loss.detach(), *gradient])
    for at_once, in_chunks in zip(*results, strict=True):
        torch.testing.assert_close(in_chunks, at_once, rtol=1e-4, atol=1e-5)


def test_chunks_of_samples_bound_what_is_kept_for_the_gradient(monkeypatch):
    """Logits and codes kept for the gradient: those of all k samples, or of one chunk at most."""
    x = X.expand(2, -1, -1)
    method = iwae(samples=64)
    noise = method.draw(unlabelled(x), Streams(3, [0, 1], "test"))

    def largest():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel() * (tensor.dim() == 4)) or tensor,
            lambda tensor: tensor,
        ):
            method.loss(x, *noise)
        return max(sizes)

    assert largest() >= 64 * x.numel()
    monkeypatch.setattr("aebayes.methods.iwae.CHUNK_ELEMENTS", 4 * x.numel())
    assert largest() <= 8 * x.numel()


ESTIMATORS = {
    "standard": {},
    "one draw": {"draws": 1},
    "three draws": {"draws": 3},
    "doubly reparameterised": {"gradient": "doubly_reparameterised"},
    "doubly reparameterised, three draws": {"gradient": "doubly_reparameterised", "draws": 3},
}


@pytest.fixture(scope="module", params=["one layer", "two layers"])
def gradients(request):
    """By estimator: the gradients of many draws, (draws, parameters), encoder's and the rest."""

    def model():
        return linear_gaussian() if request.param == "one layer" else two_layers_apart(0.3)

    def of(objective, seeds):
        method = iwae(model(), **objective)
        (phase,) = method.phases()
        encoder = list(method.model.encoder.parameters())
        others = [
            p for part in ("prior", "decoder") for p in getattr(method.model, part).parameters()
        ]
        x = X.repeat(20, 1).expand(2, -1, -1)
        rows = []
        for seed in seeds:
            loss = phase(unlabelled(x), Streams(seed, [0, 1], "test")).sum()
            parts = torch.autograd.grad(loss, encoder + others)
            rows.append(torch.cat([part.flatten() for part in parts]))
        size = sum(parameter.numel() for parameter in encoder)
        return torch.stack(rows).split([size, rows[0].numel() - size], 1)

    found = {name: of(objective, range(300)) for name, objective in ESTIMATORS.items()}
    return found | {"reference": of({}, range(10_000, 12_000))}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_mean_gradient_is_that_of_a_long_run(gradients, name):
    for draws, long in zip(gradients[name], gradients["reference"], strict=True):
        error = torch.hypot(draws.std(0) / len(draws) ** 0.5, long.std(0) / len(long) ** 0.5)
        assert ((draws.mean(0) - long.mean(0)).abs() < 4.5 * error + 1e-6).all()


def test_doubly_reparameterised_gradient_of_the_encoder_varies_least(gradients):
    variance = {name: gradients[name][0].var(0).sum() for name in ESTIMATORS}
    assert min(variance, key=variance.get) == "doubly reparameterised"
    assert variance["three draws"] < variance["one draw"]


def test_systematic_resampling_draws_each_sample_as_often_as_its_weight_says():
    weights = torch.tensor([0.5, 0.2, 0.05, 0.25]).view(1, 4, 1).expand(1, 4, 4000)
    chosen = systematic(weights, 2, Streams(0, [0], "test").uniform(4000, 1))
    counts = torch.stack([(chosen == i).sum(1) for i in range(4)], 1).float()  # (R, K, B)
    expected = 2 * weights[..., 0]
    error = counts.std(2) / 4000**0.5
    assert ((counts.mean(2) - expected).abs() <= 4 * error + 1e-6).all()
    # No other scheme's counts differ from their expectation by less than one each.
    assert ((counts - expected.unsqueeze(-1)).abs() < 1 + 1e-5).all()


def test_log_mean_exp_of_weights_far_beyond_the_range_of_floats_is_right():
    log_weights = torch.tensor([-1000.0, -1001.0, -2000.0]).view(1, 3, 1)
    expected = -1000 + math.log1p(math.exp(-1)) - math.log(3)
    assert log_mean_exp(log_weights).item() == pytest.approx(expected, abs=1e-3)
