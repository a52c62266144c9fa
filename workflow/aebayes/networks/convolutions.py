"""Networks from images and to images: perceptrons, or with convolutions, of R replicas at once.

Outside them images are flat, (R, ..., B, X). Inside, replicas are groups of channels, so that one
convolution of groups computes all of them.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from aebayes.errors import AebayesError
from aebayes.networks.layers import ACTIVATIONS, MLP, BatchNorm, side_inputs

Shape = tuple[int, ...]  # of an image: channels, height, width; or its pixels alone


class Convolution(nn.Module):
    """R convolutions: (R, B, inputs, H, W) -> (R, B, outputs, H / stride, W / stride).

    Transposed, it is the map from the smaller images to the larger: H · stride, W · stride.

    Args:
        kernel: the filters' side, odd; images are padded by half of it.
    """

    def __init__(
        self,
        replicas: int,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        bias: bool = True,
        transposed: bool = False,
    ):
        super().__init__()
        channels = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.zeros(replicas, *channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(replicas, outputs)) if bias else None
        self.stride, self.transposed = stride, transposed
        # What a pixel is summed from, and goes into: of the larger images' pixels, one in stride².
        fans = inputs * kernel**2, outputs * kernel**2
        self.fans = (fans[0] / stride**2, fans[1]) if transposed else (fans[0], fans[1] / stride**2)

    def forward(self, x: Tensor, hold: bool = False) -> Tensor:
        """The map; with `hold`, a gradient goes through x alone."""
        weight, bias = self.weight, self.bias
        if hold:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        replicas, kernel = weight.shape[0], weight.shape[-1]
        settings = {
            "bias": None if bias is None else bias.flatten(),
            "stride": self.stride,
            "padding": kernel // 2,
            "groups": replicas,
        }
        groups = x.transpose(0, 1).flatten(1, 2)  # (B, R · inputs, H, W)
        if self.transposed:
            settings["output_padding"] = self.stride - 1
            out = conv_transpose2d(groups, weight.flatten(0, 1), **settings)
        else:
            out = conv2d(groups, weight.flatten(0, 1), **settings)
        return out.unflatten(1, (replicas, -1)).transpose(0, 1)


class Residual(nn.Module):
    """A residual unit, σ(s(x) + K₂ σ(K₁ x + W side)): He et al. 2016 (arXiv:1512.03385).

    K₁ changes the images' channels and sides, K₂ neither; where K₁ does, s is a convolution of
    single pixels, else nothing.

    Args:
        side: width of a side input, which is projected to the channels between; none if 0.
    """

    def __init__(
        self,
        replicas: int,
        inputs: int,
        outputs: int,
        settings: dict,
        stride: int,
        batch_norm: bool = False,
        side: int = 0,
        transposed: bool = False,
    ):
        super().__init__()
        kernel, bias = settings["kernel"], not batch_norm
        self.first = Convolution(replicas, inputs, outputs, kernel, stride, bias, transposed)
        self.second = Convolution(replicas, outputs, outputs, kernel, 1, bias)
        self.shortcut = None
        if inputs != outputs or stride > 1:
            self.shortcut = Convolution(replicas, inputs, outputs, 1, stride, False, transposed)
        self.norms = nn.ModuleList(
            BatchNorm(replicas, outputs) if batch_norm else nn.Identity() for _ in range(2)
        )
        self.sides = side_inputs(replicas, side, [outputs])
        self.activation = ACTIVATIONS[settings["activation"]]

    def forward(self, images: Tensor, hold: bool = False, side: Tensor | None = None) -> Tensor:
        """(R, B, inputs, H, W), (R, B, side) -> (R, B, outputs, H / stride, W / stride).

        Transposed, sides are `stride` times as long.
        """
        between = over_channels(self.norms[0], self.first(images, hold))
        if side is not None:
            between = between + self.sides[0](side, hold)[..., None, None]
        out = over_channels(self.norms[1], self.second(self.activation(between), hold))
        stays = images if self.shortcut is None else self.shortcut(images, hold)
        return self.activation(stays + out)


def over_channels(layer: nn.Module, images: Tensor) -> Tensor:
    """A layer of units applied to each pixel's channels: (R, B, C, H, W) -> the same."""
    return layer(images.movedim(2, -1)).movedim(-1, 2)


class ImageReader(nn.Module):
    """Convolutions, then a perceptron: images (R, ..., B, X) -> (R, ..., B, outputs).

    Args:
        shape: channels, height and width of an image.
        settings: with `kernel` and `convolutions`, each of so many channels and with a stride, and
            with `residual` so many residual units in the place of each; then as a perceptron's.
        side: width of a side input that every hidden layer takes, too, by a projection of its own.
    """

    def __init__(self, replicas: int, shape: Shape, outputs: int, settings: dict, side: int = 0):
        super().__init__()
        self.shape = shape
        layers = settings["convolutions"]
        batch_norm = settings.get("batch_norm", False)
        channels = [shape[0], *(layer["channels"] for layer in layers)]
        self.activation = ACTIVATIONS[settings["activation"]]
        self.residual = "residual" in settings
        if self.residual:
            self.units = residual_units(replicas, channels, layers, settings, batch_norm, side)
        else:
            self.convolutions = nn.ModuleList(
                Convolution(
                    replicas, inputs, outputs_, settings["kernel"], layer["stride"], not batch_norm
                )
                for (inputs, outputs_), layer in zip(pairwise(channels), layers, strict=True)
            )
            self.norms = nn.ModuleList(
                BatchNorm(replicas, count) if batch_norm else nn.Identity()
                for count in channels[1:]
            )
            self.sides = side_inputs(replicas, side, channels[1:])
        features = prod(smallest(shape, channels[-1], layers))
        sizes = [features, *settings["hidden"], outputs]
        self.dense = MLP(replicas, sizes, settings["activation"], batch_norm, side)

    def forward(self, x: Tensor, hold: bool = False, side: Tensor | None = None) -> Tensor:
        """The network's outputs; with `hold`, a gradient goes through x and the side input alone.

        Args:
            side: the side input of each image, (R, ..., B, side).
        """
        images = x.flatten(1, -2).unflatten(-1, self.shape)  # (R, B, C, H, W)
        if side is not None:
            side = side.flatten(1, -2)
        hidden = self.units_of(images, hold, side) if self.residual else self.of(images, hold, side)
        return self.dense(hidden.flatten(2), hold, side).unflatten(1, x.shape[1:-1])

    def of(self, images: Tensor, hold: bool, side: Tensor | None) -> Tensor:
        """What the convolutions make of images (R, B, C, H, W)."""
        for number, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            images = over_channels(norm, convolution(images, hold))
            if side is not None:
                images = images + self.sides[number](side, hold)[..., None, None]
            images = self.activation(images)
        return images

    def units_of(self, images: Tensor, hold: bool, side: Tensor | None) -> Tensor:
        """What the residual units make of images (R, B, C, H, W)."""
        for unit in self.units:
            images = unit(images, hold, side)
        return images


def residual_units(
    replicas: int,
    channels: Sequence[int],
    layers: Sequence[dict],
    settings: dict,
    batch_norm: bool = False,
    side: int = 0,
    transposed: bool = False,
) -> nn.ModuleList:
    """For each layer `settings["residual"]` units, of which the first takes the layer's stride.

    Args:
        channels: of the images before the first layer, and after each.
    """
    units = []
    for (inputs, outputs), layer in zip(pairwise(channels), layers, strict=True):
        others = settings["residual"] - 1
        for read, stride in [(inputs, layer["stride"])] + [(outputs, 1)] * others:
            shape = replicas, read, outputs, settings, stride
            units.append(Residual(*shape, batch_norm, side, transposed))
    return nn.ModuleList(units)


class ImageWriter(nn.Module):
    """A perceptron, then transposed convolutions: codes (R, ..., Z) -> images (R, ..., X).

    Args:
        inputs: Z.
        shape: channels, height and width of an image.
        settings: as of an `ImageReader`, but from the code to the image: each layer's `channels`
            are those it reads, and its `stride` is how often larger the images become; the last,
            which writes the image, stays a convolution where others are residual units.
    """

    def __init__(self, replicas: int, inputs: int, shape: Shape, settings: dict):
        super().__init__()
        layers = settings["convolutions"]
        channels = [*(layer["channels"] for layer in layers), shape[0]]
        self.start = smallest(shape, channels[0], layers)
        sizes = [inputs, *settings["hidden"], prod(self.start)]
        self.dense = MLP(replicas, sizes, settings["activation"])
        self.units = nn.ModuleList()
        if "residual" in settings:
            hidden = replicas, channels[:-1], layers[:-1], settings
            self.units = residual_units(*hidden, transposed=True)
            channels, layers = channels[-2:], layers[-1:]
        self.convolutions = nn.ModuleList(
            Convolution(replicas, *pair, settings["kernel"], layer["stride"], transposed=True)
            for pair, layer in zip(pairwise(channels), layers, strict=True)
        )
        self.activation = ACTIVATIONS[settings["activation"]]

    def forward(self, z: Tensor) -> Tensor:
        """The network's outputs."""
        images = self.dense(z).flatten(1, -2).unflatten(-1, self.start)  # (R, B, C, H, W)
        for unit in self.units:
            images = unit(images)
        for convolution in self.convolutions:
            images = convolution(self.activation(images))
        return images.flatten(2).unflatten(1, z.shape[1:-1])

    def of_biases(self, mean: Tensor) -> Tensor:
        """What of a mean image (X,) the last biases can hold: its channels' means, (C,)."""
        return mean.view(self.convolutions[-1].bias.shape[1], -1).mean(1)

    @torch.no_grad()
    def centre(self, outputs: Tensor) -> None:
        """Set the last biases to wanted outputs (C,)."""
        bias = self.convolutions[-1].bias  # (R, C)
        bias.copy_(outputs.expand_as(bias))


def smallest(shape: Shape, channels: int, layers: Sequence[dict]) -> Shape:
    """Channels, height and width where a network's images are smallest.

    Raises:
        AebayesError: images have no sides, or the strides do not divide them.
    """
    stride = prod(layer["stride"] for layer in layers)
    if len(shape) != 3 or shape[1] % stride or shape[2] % stride:
        raise AebayesError(
            f"convolutions: their strides, {stride} in all, do not divide images of "
            f"{' x '.join(map(str, shape))}",
            "choose strides whose product divides the images' sides",
        )
    return channels, shape[1] // stride, shape[2] // stride


def make_reader(
    replicas: int, shape: Shape, outputs: int, settings: dict, side: int = 0
) -> MLP | ImageReader:
    """A network from images (R, ..., B, X) to (R, ..., B, outputs).

    Args:
        settings: of an encoder or adversary; convolutional if it has `convolutions`.
        side: width of a side input to every hidden layer.
    """
    if "convolutions" in settings:
        return ImageReader(replicas, shape, outputs, settings, side)
    sizes = [prod(shape), *settings["hidden"], outputs]
    return MLP(replicas, sizes, settings["activation"], settings.get("batch_norm", False), side)


def make_writer(replicas: int, inputs: int, shape: Shape, settings: dict) -> MLP | ImageWriter:
    """A network from codes (R, ..., inputs) to images (R, ..., X).

    Args:
        settings: of a decoder; convolutional if it has `convolutions`.
    """
    if "convolutions" in settings:
        return ImageWriter(replicas, inputs, shape, settings)
    return MLP(replicas, [inputs, *settings["hidden"], prod(shape)], settings["activation"])
