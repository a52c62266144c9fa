"""Noise and codes that enter every hidden layer: of encoders, adversaries and residual units."""

import pytest
import torch
from torch import nn

from aebayes.config import load_study
from aebayes.data import DATASETS
from aebayes.methods.base import Batch
from aebayes.methods.make import make_method
from aebayes.networks.adversaries import JointAdversary, ProjectedAdversary
from aebayes.networks.convolutions import ImageReader, ImageWriter, Residual
from aebayes.networks.encoders import BasisNoiseEncoder, NoiseEncoder
from aebayes.networks.initialise import initialise
from aebayes.networks.layers import MLP
from aebayes.streams import Streams

SHAPE = (3, 8, 8)
PIXELS = 3 * 8 * 8
NETWORK = {
    "kernel": 3,
    "convolutions": [{"channels": 4, "stride": 1}, {"channels": 5, "stride": 2}],
    "hidden": [7, 6],
    "activation": "elu",
}
RESIDUAL = NETWORK | {"residual": 3}
GENERATOR = torch.Generator().manual_seed(0)


def filled(network: nn.Module) -> nn.Module:
    """The network with weights drawn at random, out of training."""
    initialise(network, "glorot_uniform", Streams(3, range(2), "initialisation"))
    return network.eval()


def random(*shape: int) -> torch.Tensor:
    return torch.rand(2, *shape, generator=GENERATOR)


def side_layers(network: nn.Module) -> list[nn.Module]:
    """Every projection of a side input."""
    lists = (module.sides for module in network.modules() if hasattr(module, "sides"))
    return [layer for each in lists for layer in each]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("settings", "hidden_layers"), [(NETWORK, 4), (RESIDUAL, 8)])
def test_noise_reaches_every_hidden_layer_by_a_projection_of_its_own(
    settings, hidden_layers, batch_norm
):
    encoder = filled(NoiseEncoder(2, SHAPE, 2, settings | {"noise": 9, "batch_norm": batch_norm}))
    projections = side_layers(encoder)
    assert len(projections) == hidden_layers
    x, noise, other = random(5, PIXELS), random(5, 9), random(5, 9)
    assert_each_alone_carries(projections, encoder, x, noise, other)


def assert_each_alone_carries(projections, network, x, side, other):
    """Through any one projection, the rest 0, the network tells its side inputs apart."""
    weights = {layer: layer.weight.data.clone() for layer in projections}
    for chosen in projections:
        for layer in projections:
            layer.weight.data.zero_()
        torch.testing.assert_close(network(x, side), network(x, other))
        chosen.weight.data.copy_(weights[chosen])
        assert not torch.allclose(network(x, side), network(x, other))
    for layer, weight in weights.items():
        layer.weight.data.copy_(weight)


@pytest.mark.parametrize("settings", [NETWORK, RESIDUAL])
def test_several_codes_of_an_image_are_those_of_each_noise_alone(settings):
    encoder = filled(NoiseEncoder(2, SHAPE, 2, settings | {"noise": 9}))
    x, noise = random(5, PIXELS), random(4, 5, 9)
    codes = encoder(x, noise)
    assert codes.shape == (2, 4, 5, 2)
    for number in range(4):
        torch.testing.assert_close(codes[:, number], encoder(x, noise[:, number]))


@pytest.mark.parametrize(("settings", "hidden_layers"), [(NETWORK, 4), (RESIDUAL, 8)])
def test_code_reaches_every_hidden_layer_of_the_projected_adversary(settings, hidden_layers):
    adversary = filled(ProjectedAdversary(2, SHAPE, 2, settings))
    x, z = random(5, PIXELS), random(3, 5, 2)
    t = adversary(x, z)
    assert t.shape == (2, 3, 5)
    torch.testing.assert_close(t[:, 1], adversary(x, z[:, 1]))
    projections = side_layers(adversary)
    assert len(projections) == hidden_layers
    assert_each_alone_carries(projections, adversary, x, z, random(3, 5, 2))


def test_joint_adversary_reads_images_by_convolutions_and_codes_by_a_net_of_its_own():
    settings = NETWORK | {"features": 6, "code_hidden": [11], "batch_norm": True}
    adversary = filled(JointAdversary(2, SHAPE, 2, settings))
    assert isinstance(adversary.data_network, ImageReader)
    assert [layer.fans for layer in adversary.code_network.layers] == [(2, 11), (11, 6)]
    x, z = random(5, PIXELS), random(3, 5, 2)
    t = adversary(x, z)
    expected = torch.einsum(
        "rbf,rkbf->rkb", adversary.data_network(x), adversary.code_network(z)
    ) / (6**0.5)
    torch.testing.assert_close(t, expected)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("make", [ImageReader, ImageWriter])
def test_replicas_of_residual_nets_do_not_mix_and_every_weight_takes_a_gradient(make, batch_norm):
    if make is ImageReader:
        network = make(2, SHAPE, 2, RESIDUAL | {"batch_norm": batch_norm})
        given = random(5, PIXELS)
    else:
        network = make(2, 4, SHAPE, RESIDUAL | {"convolutions": RESIDUAL["convolutions"][::-1]})
        given = random(5, 4)
    filled(network)
    out = network(given)
    changed = given.clone()
    changed[1] += 1
    torch.testing.assert_close(network(changed)[0], out[0], rtol=0, atol=0)
    assert not torch.allclose(network(changed)[1], out[1])
    out.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_residual_unit_whose_second_convolution_is_zero_is_its_activation():
    unit = filled(Residual(2, 4, 4, NETWORK, 1))
    unit.second.weight.data.zero_()
    images = random(5, 4, 6, 6) - 0.5
    torch.testing.assert_close(unit(images), torch.nn.functional.elu(images))


@pytest.mark.parametrize(("transposed", "side"), [(False, 4), (True, 16)])
def test_residual_unit_changes_sides_by_its_stride(transposed, side):
    unit = filled(Residual(2, 4, 5, NETWORK, 2, transposed=transposed))
    assert unit(random(3, 4, 8, 8)).shape == (2, 3, 5, side, side)


def test_basis_noise_encoder_reads_images_by_residual_units():
    settings = RESIDUAL | {"noise": 3, "basis": 4, "basis_hidden": [5]}
    encoder = filled(BasisNoiseEncoder(2, SHAPE, 2, settings))
    x = random(5, PIXELS)
    codes = encoder(x, torch.randn(2, 4000, 5, 12, generator=GENERATOR))
    mean, log_sd = encoder.moments(x)
    error = log_sd.exp() / 4000**0.5
    # Known noise makes the moments; they are off by what a quadrature of 256 points is.
    assert ((codes.mean(1) - mean).abs() < 4 * error + 0.02 * log_sd.exp()).all()
    torch.testing.assert_close(codes.std(1), log_sd.exp(), rtol=0.1, atol=0)


def test_side_input_of_a_perceptron_is_added_before_each_activation():
    network = filled(MLP(2, [3, 4, 1], "tanh", side=2))
    x, side = random(5, 3), random(5, 2)
    first, last = network.layers
    hidden = torch.tanh(first(x) + torch.einsum("rbs,rsu->rbu", side, network.sides[0].weight))
    torch.testing.assert_close(network(x, side=side), last(hidden))


@pytest.mark.parametrize(
    ("study", "name"),
    [
        ("paper", "avb-mnist"),
        ("paper", "avb-ac-8-mnist"),
        ("paper", "avb-faces"),
        ("paper", "vae-faces"),
        ("overnight", "avb-faces"),
        ("pocket", "avb-conv-digits"),
    ],
)
def test_every_phase_of_the_studies_nets_for_images_has_gradients(study, name):
    experiment = load_study(study).experiment(name)
    mean = torch.full(DATASETS[experiment["dataset"]].shape, 0.5)
    method = make_method(experiment, mean, [0, 1], torch.device("cpu"))
    x = random(3, mean.numel())
    batch = Batch(x, torch.zeros(2, 3, dtype=torch.int64), progress=torch.tensor(0.5))
    for phase in method.phases():
        losses = phase(batch, Streams(1, [0, 1], "test"))
        gradients = torch.autograd.grad(losses.sum(), phase.parameters())
        assert losses.shape == (2,)
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
