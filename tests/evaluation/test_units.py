import pytest
import torch
from truths import settings

from aebayes.evaluation.units import UnitMoments, unit_moments, without_inactive
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
    model = AutoEncoder(settings("gaussian", 4) | (two if layers == 2 else {}), (5,), 2)
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


def moments_of(used, replica, mean=0.0):
    """Of units that are active where they are used, and constant elsewhere."""
    layers = (layer[replica].double() for layer in used)
    return [UnitMoments(torch.full_like(layer, mean), layer) for layer in layers]


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 400, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 2])
def test_active_units_are_those_that_the_model_was_built_to_use(layers, x):
    model, used = known(layers)
    found = unit_moments(model, x.split(150, 1), Streams(0, REPLICAS, "test"))
    for layer, units in zip(used, found, strict=True):
        assert torch.equal(units.active, layer)


def test_variance_of_a_unit_is_that_of_its_mean_over_the_images(x):
    model, _ = known(1)
    (units,) = unit_moments(model, x.split(150, 1), Streams(0, REPLICAS, "test"))
    layer = outputs_of(model.encoder.network)
    for r in REPLICAS:
        exact = layer.weight[r, :, :4].double().T @ torch.cov(x[r].T.double())
        exact = (exact * layer.weight[r, :, :4].double().T).sum(1)
        torch.testing.assert_close(units.variance[r], exact.detach(), rtol=1e-5, atol=1e-9)
        mean = (x[r].mean(0) @ layer.weight[r, :, :4] + layer.bias[r, 0, :4]).detach()
        torch.testing.assert_close(units.mean[r].float(), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_model_without_its_unused_units_gives_every_sample_the_same_weight(layers, x):
    model, used = known(layers)
    noise = Streams(0, REPLICAS, "test").normal(3, 400, model.encoder.noise)
    kept = torch.cat(used, 1)
    with torch.no_grad():
        whole = model.log_weights(x, noise)
        for r in REPLICAS:
            small = without_inactive(model, r, moments_of(used, r))
            assert small.latent == kept[r].sum()
            part = small.log_weights(x[r : r + 1], noise[r : r + 1][..., kept[r]])
            torch.testing.assert_close(part[0], whole[r], rtol=1e-5, atol=1e-4)
            codes = small.prior.sample(Streams(1, [0], "test"), 4)
            assert small.decode(codes).shape == (1, 4, 5)


def test_taking_units_out_leaves_the_model_as_it_was(x):
    model, used = known(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    without_inactive(model, 1, moments_of(used, 1))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert model.latent == 7


@pytest.mark.parametrize("layers", [1, 2])
def test_unit_that_always_says_the_same_goes_on_saying_it_in_a_bias(layers, x):
    """All that reads z1 reads 2.4 of its unused units, whatever the image."""
    model, used = known(layers)
    first = model.encoder.first if layers == 2 else model.encoder
    reads, writers = [model.decoder], [first]
    if layers == 2:
        reads, writers = [model.decoder, model.encoder.second.network], [first, model.prior]
    with torch.no_grad():
        for r in REPLICAS:
            silent = ~used[0][r]
            for network in reads:
                network.layers[0].weight[r, silent] = 0.7
            for writer in writers:
                means, log_sds = outputs_of(writer.network).bias[r, 0].chunk(2)
                means[silent], log_sds[silent] = 2.4, -12.0  # no noise to speak of
        noise = Streams(0, REPLICAS, "test").normal(3, 400, model.encoder.noise)
        for r in REPLICAS:
            means = moments_of(used, r)
            means[0] = UnitMoments(torch.full_like(means[0].mean, 2.4), means[0].variance)
            small = without_inactive(model, r, means)
            z, _ = model.encoder.posterior(x).transform(noise)
            kept = torch.cat(used, 1)[r]
            expected = model.log_likelihood(x, z)[r]
            found = small.log_likelihood(x[r : r + 1], z[r : r + 1][..., kept])
            torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-3)
            first = z[r : r + 1, ..., : used[0].shape[1]]
            if layers == 2:
                whole = model.encoder.second.network(z[..., :4])[r]
                part = small.encoder.second.network(first[..., used[0][r]])[0]
                active = used[1][r].repeat(2)
                torch.testing.assert_close(part, whole[..., active], rtol=1e-4, atol=1e-3)
