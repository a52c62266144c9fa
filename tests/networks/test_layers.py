import math

import pytest
import torch

from aebayes.compilation import compiler_found
from aebayes.networks.initialise import initialise
from aebayes.networks.layers import MLP, Linear, tanh
from aebayes.streams import Streams


def test_stacked_layer_is_each_replicas_own_affine_map():
    layer = Linear(3, 4, 2)
    initialise(layer, "glorot_uniform", Streams(0, range(3), "initialisation"))
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, 5, 6, 4)
    y = layer(x)
    for r in range(3):
        torch.testing.assert_close(y[r], x[r] @ layer.weight[r] + layer.bias[r, 0])


def test_perceptron_has_no_activation_after_its_last_layer():
    network = MLP(1, [2, 3, 1], "relu")
    with torch.no_grad():
        network.layers[-1].bias.fill_(-1.0)
    assert network(torch.zeros(1, 4, 2)).eq(-1).all()


def test_glorot_uniform_has_the_variance_of_its_definition():
    layer = Linear(1, 300, 200)
    initialise(layer, "glorot_uniform", Streams(0, [0], "initialisation"))
    weights = layer.weight.detach().flatten()
    expected = 2 / (300 + 200)
    # The sample variance of a uniform has relative standard error √(0.8 / n).
    assert abs(weights.var() / expected - 1) < 5 * (0.8 / len(weights)) ** 0.5
    assert weights.abs().max() <= (6 / 500) ** 0.5


def test_normal_001_has_the_aae_papers_deviation_and_zero_biases():
    layer = Linear(1, 300, 200)
    torch.nn.init.normal_(layer.bias)
    initialise(layer, "normal_001", Streams(0, [0], "initialisation"))
    weights = layer.weight.detach().flatten()
    # A normal's sample deviation has relative standard error 1 / √(2n), its mean sd / √n.
    assert abs(weights.std() / 0.01 - 1) < 5 / math.sqrt(2 * len(weights))
    assert abs(weights.mean()) < 5 * 0.01 / math.sqrt(len(weights))
    assert (weights.abs() < 0.01).float().mean().item() == pytest.approx(0.683, abs=0.01)
    assert layer.bias.eq(0).all()


def test_replica_starts_from_the_same_weights_whatever_is_stacked_with_it():
    stacked, alone = MLP(3, [4, 5, 2], "relu"), MLP(1, [4, 5, 2], "relu")
    initialise(stacked, "glorot_uniform", Streams(1, [0, 1, 2], "initialisation"))
    initialise(alone, "glorot_uniform", Streams(1, [2], "initialisation"))
    for all_, one in zip(stacked.parameters(), alone.parameters(), strict=True):
        assert torch.equal(all_[2], one[0])


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
def test_tanh_in_compiled_bfloat16_is_as_exact_as_its_rounding():
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16)  # all there are
    x = x[x.isfinite()].requires_grad_()
    y = torch.compile(tanh, dynamic=False)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    exact = torch.tanh(x.detach().double())
    spacing = 2.0**-8 * exact.abs() + 1e-7  # one unit in the last place, and float32's near 0
    assert ((y.double() - exact).abs() <= spacing).all()
    assert ((slope.double() - (1 - exact.square())).abs() <= 2.0**-7).all()


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
def test_tanh_in_compiled_float32_is_exact_to_a_few_units_in_the_last_place():
    sizes = torch.logspace(-30, 2, 20_001, dtype=torch.double).float()
    x = torch.cat([-sizes, torch.zeros(1), sizes]).requires_grad_()
    y = torch.compile(tanh, dynamic=False)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    exact = torch.tanh(x.detach().double())
    assert ((y.double() - exact).abs() <= 8 * 2.0**-24 * exact.abs()).all()
    assert ((slope.double() - (1 - exact.square())).abs() <= 6 * 2.0**-23).all()
