"""Convolutions of replicas against torch's own, one replica at a time."""

import pytest
import tiny
import torch
from torch import nn
from torch.nn.functional import conv2d, one_hot

from aebayes.adam import Adam
from aebayes.errors import AebayesError
from aebayes.methods.base import Batch
from aebayes.methods.make import make_method
from aebayes.networks.convolutions import Convolution, ImageReader, ImageWriter
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams

SHAPE = (3, 8, 12)
READER = {
    "kernel": 3,
    "convolutions": [{"channels": 4, "stride": 1}, {"channels": 5, "stride": 2}],
    "hidden": [7],
    "activation": "relu",
}
WRITER = READER | {"convolutions": READER["convolutions"][::-1]}


def filled(network: nn.Module, replicas: int = 2) -> nn.Module:
    """The network with weights and biases drawn at random."""
    initialise(network, "glorot_uniform", Streams(3, range(replicas), "initialisation"))
    generator = torch.Generator().manual_seed(4)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(generator=generator)
    return network


def images(*leading: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(2, *leading, 3 * 8 * 12, generator=generator)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_each_replica_is_a_convolution_of_its_own(kernel, stride):
    layer = filled(Convolution(2, 3, 4, kernel, stride))
    x = images(5).unflatten(-1, SHAPE)
    for replica, out in enumerate(layer(x)):
        alone = conv2d(x[replica], layer.weight[replica], layer.bias[replica], stride, kernel // 2)
        torch.testing.assert_close(out, alone)
        assert out.shape == (5, 4, 8 // stride, 12 // stride)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_transposed_it_is_the_adjoint(kernel, stride):
    """⟨Ax, y⟩ = ⟨x, Aᵀy⟩ with the same filters, replica by replica."""
    there = filled(Convolution(2, 3, 4, kernel, stride, bias=False))
    back = Convolution(2, 4, 3, kernel, stride, bias=False, transposed=True)
    back.weight.data = there.weight.data
    x = images(5).unflatten(-1, SHAPE).double()
    y = torch.rand(2, 5, 4, 8 // stride, 12 // stride, dtype=torch.float64)
    there, back = there.double(), back.double()
    left = (there(x) * y).flatten(1).sum(1)
    torch.testing.assert_close(left, (x * back(y)).flatten(1).sum(1))
    assert back(y).shape == x.shape


@pytest.mark.parametrize("batch_norm", [False, True])
def test_replicas_do_not_mix(batch_norm):
    reader = filled(ImageReader(2, SHAPE, 6, READER | {"batch_norm": batch_norm}))
    x = images(5)
    both = reader(x)
    assert both.shape == (2, 5, 6)
    changed = x.clone()
    changed[1] += 1
    torch.testing.assert_close(reader(changed)[0], both[0], rtol=0, atol=0)
    assert not torch.allclose(reader(changed)[1], both[1])


def test_leading_axes_are_rows():
    reader, writer = (
        filled(ImageReader(2, SHAPE, 6, READER)),
        filled(ImageWriter(2, 6, SHAPE, WRITER)),
    )
    x = images(4, 5)
    codes = reader(x)
    torch.testing.assert_close(codes, reader(x.flatten(1, 2)).unflatten(1, (4, 5)))
    assert writer(codes).shape == x.shape
    torch.testing.assert_close(writer(codes), writer(codes.flatten(1, 2)).unflatten(1, (4, 5)))


def test_batch_norm_standardises_each_channel():
    reader = filled(ImageReader(2, SHAPE, 6, READER | {"batch_norm": True}))
    seen = []
    reader.norms[1].register_forward_hook(lambda module, given, out: seen.append(out))
    reader(images(50))
    (out,) = seen  # (R, B, H, W, C)
    variance, mean = torch.var_mean(out, (1, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(2, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones(2, 5), rtol=1e-3, atol=0)


def test_held_weights_take_no_gradient():
    reader = filled(ImageReader(2, SHAPE, 6, READER))
    x = images(5).requires_grad_()
    reader(x, hold=True).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in reader.parameters())


def test_centred_a_writer_of_zeros_gives_the_channels_means():
    writer = ImageWriter(2, 6, SHAPE, WRITER)
    images = torch.linspace(0.1, 0.9, 3 * 8 * 12)
    writer.centre(torch.logit(writer.of_biases(images)))
    means = images.view(3, -1).mean(1, keepdim=True).expand(3, 96).flatten()
    decoded = torch.sigmoid(writer(torch.zeros(2, 4, 6)))
    torch.testing.assert_close(decoded, means.expand(2, 4, -1))


def test_initial_filters_have_glorots_variance():
    layer = Convolution(2, 16, 32, 5, 2)
    initialise(layer, "glorot_uniform", Streams(1, range(2), "initialisation"))
    variance = 2 / (16 * 25 + 32 * 25 / 4)
    count = layer.weight.numel()
    # A uniform's square has the coefficient of variation sqrt(4/5).
    assert layer.weight.square().mean().item() == pytest.approx(
        variance, rel=4 * (0.8 / count) ** 0.5
    )


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_initial_layers_scale_unit_noise_as_their_fans_say_there_and_back(stride):
    """Each multiplies the variance by its inputs' share of both fans, twice; away from the ends."""
    settings = {"kernel": 5, "stride": stride}
    layers = [
        Convolution(2, 16, 16, **settings),
        Convolution(2, 16, 16, **settings, transposed=True),
    ]
    initialise(nn.ModuleList(layers), "glorot_uniform", Streams(1, range(2), "initialisation"))
    x = torch.randn(2, 4, 16, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = (2 / (1 + 1 / stride**2)) * (2 / (1 + stride**2))
    middle = layers[1](layers[0](x))[..., 8:-8, 8:-8]
    assert middle.square().mean().item() == pytest.approx(expected, rel=0.12)  # 0.03 over seeds


@pytest.mark.parametrize("shape", [(3, 8, 9), (216,)])
def test_strides_that_do_not_divide_the_sides_are_refused(shape):
    with pytest.raises(AebayesError, match=r"strides, 2 in all, do not divide images of"):
        ImageReader(1, shape, 2, READER)
    with pytest.raises(AebayesError, match=r"strides, 2 in all, do not divide images of"):
        ImageWriter(1, 2, shape, WRITER)


def corners(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy colour images (2, count, X) that are bright in one corner, and which (2, count)."""
    generator = torch.Generator().manual_seed(6)
    labels = torch.randint(4, (2, count), generator=generator)
    x = 0.2 * torch.rand(2, count, 3, 2, 4, 2, 6, generator=generator)
    bright = one_hot(labels, 4).view(2, count, 1, 2, 1, 2, 1)
    return (x + 0.6 * bright).flatten(2), labels


def test_a_semi_supervised_aae_of_convolutions_learns_classes_and_images():
    """Every phase, on colour images; the classes of fresh images, and what is decoded of them."""
    layers = {key: READER[key] for key in ("kernel", "hidden", "activation")}
    experiment = tiny.experiment("categorical_aae", "digits")
    del experiment["objective"]["distortion"]  # 100 steps are too few for images that move
    encoder = {"kind": "class_and_style", "classes": 4, "batch_norm": True}
    experiment["model"] |= {
        "encoder": encoder | READER,
        "decoder": layers | {"convolutions": WRITER["convolutions"]},
        "output_bias": "data_mean",
    }
    x, labels = corners(300)
    mean = x.mean((0, 1)).view(SHAPE)
    method = make_method(experiment, mean, [0, 1], torch.device("cpu")).train()
    batch = Batch(x[:, :100], labels[:, :100], Batch(x[:, 100:200], labels[:, 100:200]))
    streams = Streams(1, [0, 1], "test")
    optimisers = [Adam(phase.parameters(), 2e-3, (0.5, 0.99)) for phase in method.phases()]
    before = -method.model.log_likelihood(x, method.model.encoder(x)).mean()
    for _ in range(100):
        for phase, optimiser in zip(method.phases(), optimisers, strict=True):
            gradients = torch.autograd.grad(phase(batch, streams).sum(), phase.parameters())
            for parameter, gradient in zip(phase.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
    method.eval()
    fresh, answers = x[:, 200:], labels[:, 200:]
    assert (method.model.encoder.logits(fresh).argmax(-1) == answers).float().mean() > 0.97
    after = -method.model.log_likelihood(fresh, method.model.encoder(fresh)).mean()
    assert after < before - 10
    decoded = method.model.decode(method.model.encoder(fresh))
    assert decoded.shape == fresh.shape
    assert (decoded - fresh).square().mean() < 0.5 * (mean.flatten() - fresh).square().mean()
