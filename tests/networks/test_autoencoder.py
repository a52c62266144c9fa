import torch
from truths import settings

from aebayes.networks.autoencoder import MEAN_RANGE, AutoEncoder
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams

MEAN = torch.tensor([0.05, 0.3, 0.5, 0.9])


def bernoulli_model():
    model = AutoEncoder(settings("gaussian", 2, [5], likelihood="bernoulli"), (4,), 3)
    initialise(model, "glorot_uniform", Streams(0, range(3), "initialisation"))
    return model


def test_centred_decoder_with_zero_weights_outputs_the_training_mean():
    model = bernoulli_model()
    model.centre_outputs(MEAN)
    with torch.no_grad():
        model.decoder.layers[-1].weight.zero_()
        outputs = model.decode(torch.randn(3, 7, 2))
    torch.testing.assert_close(outputs, MEAN.expand(3, 7, 4))


def test_centring_changes_the_output_bias_alone_and_keeps_extreme_pixels_finite():
    model = bernoulli_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.centre_outputs(torch.tensor([0.0, 0.3, 0.5, 1.0]))
    changed = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    assert changed == ["decoder.layers.1.bias"]
    outputs = model.decoder.layers[-1].bias.detach().sigmoid()
    expected = torch.tensor([MEAN_RANGE[0], 0.3, 0.5, MEAN_RANGE[1]]).expand(3, 1, 4)
    torch.testing.assert_close(outputs, expected)


def test_bent_gaussian_means_lie_in_the_unit_interval_and_are_what_the_density_is_around():
    bent = settings("gaussian", 2, [5], likelihood="gaussian", likelihood_sd=0.5)
    bent["decoder"]["output"] = "sigmoid"
    model = AutoEncoder(bent, (4,), 3)
    initialise(model, "glorot_uniform", Streams(0, range(3), "initialisation"))
    z = 3 * torch.randn(3, 7, 2)
    mean = model.decode(z)
    torch.testing.assert_close(mean, model.outputs(z).sigmoid())
    x = torch.rand(3, 7, 4)
    expected = torch.distributions.Normal(mean, 0.5).log_prob(x).sum(-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected)
