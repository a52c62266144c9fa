import pytest
import torch
from truths import settings

from aebayes.evaluation.units import active_units, unit_variances, without_inactive
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams

REPLICAS = [0, 1]
AFFINE = {"hidden": [], "activation": "tanh"}
# Which units a model is built to use, by layer and replica.
USED = {1: [[1, 0, 1, 0], [0, 0, 1, 0]], 2: [[1, 1, 0], [0, 1, 0]]}


def known(layers):
    """A model whose unused units have q = p, whatever they are given, and which nothing reads."""
    two = {
        "latent": [4, 3],
        "encoder": {"kind": "two_layer", **AFFINE, "second": AFFINE},
        "prior": AFFINE,
    }
    model = AutoEncoder(settings("gaussian", 4) | (two if layers == 2 else {}), 5, 2)
    initialise(model, "glorot_uniform", Streams(3, REPLICAS, "initialisation"))
    used = [torch.tensor(USED[layer + 1]).bool() for layer in range(layers)]
    first = model.encoder.first if layers == 2 else model.encoder
    with torch.no_grad():
        for r in REPLICAS:
            ignore(outputs_of(first.network), r, used[0][r])
            model.decoder.layers[0].weight[r, ~used[0][r]] = 0
            if layers == 2:
                second, prior = model.encoder.second.network, model.prior.network
                ignore(outputs_of(second), r, used[1][r])
                ignore(outputs_of(prior), r, used[0][r])
                second.layers[0].weight[r, ~used[0][r]] = 0
                prior.layers[0].weight[r, ~used[1][r]] = 0
    return model, used


def outputs_of(network):
    return network.layers[-1]


def ignore(layer, replica, used):
    """Make a layer of moments give N(0, 1) for the units that are not used."""
    layer.weight[replica][:, torch.cat([~used, ~used])] = 0
    layer.bias[replica][:, torch.cat([~used, ~used])] = 0


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 400, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 2])
def test_active_units_are_those_that_the_model_was_built_to_use(layers, x):
    model, used = known(layers)
    variances = unit_variances(model, x.split(150, 1), Streams(0, REPLICAS, "test"))
    for layer, found in zip(used, active_units(variances), strict=True):
        assert torch.equal(found, layer)


def test_variance_of_a_unit_is_that_of_its_mean_over_the_images(x):
    model, _ = known(1)
    (variances,) = unit_variances(model, x.split(150, 1), Streams(0, REPLICAS, "test"))
    layer = outputs_of(model.encoder.network)
    for r in REPLICAS:
        exact = layer.weight[r, :, :4].double().T @ torch.cov(x[r].T.double())
        exact = (exact * layer.weight[r, :, :4].double().T).sum(1)
        torch.testing.assert_close(variances[r], exact.detach(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
def test_model_without_its_unused_units_gives_every_sample_the_same_weight(layers, x):
    model, used = known(layers)
    noise = Streams(0, REPLICAS, "test").normal(3, 400, model.encoder.noise)
    kept = torch.cat(used, 1)
    with torch.no_grad():
        whole = model.log_weights(x, noise)
        for r in REPLICAS:
            small = without_inactive(model, r, [layer[r] for layer in used])
            assert small.latent == kept[r].sum()
            part = small.log_weights(x[r : r + 1], noise[r : r + 1][..., kept[r]])
            torch.testing.assert_close(part[0], whole[r], rtol=1e-5, atol=1e-4)
            codes = small.prior.sample(Streams(1, [0], "test"), 4)
            assert small.decode(codes).shape == (1, 4, 5)


def test_taking_units_out_leaves_the_model_as_it_was(x):
    model, used = known(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    without_inactive(model, 1, [layer[1] for layer in used])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert model.latent == 7
