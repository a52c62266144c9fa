"""Affine layers and perceptrons whose leading axis is the replica.

A product over all replicas is one batched matrix product, so that a step costs the same number of
calls for one replica as for ten; `benchmarks/` measures it against one process a replica.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class LogisticTanh(torch.autograd.Function):
    """tanh x = 2σ(2x) − 1: a third of tanh's time in compiled code, exact to its type's rounding.

    Near 0, where a float32 difference would lose digits, it is the series instead.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        wide = x.float()
        y = 2 * torch.sigmoid(2 * wide) - 1
        if x.dtype == torch.float32:
            y = torch.where(wide.abs() < SERIES_WITHIN, tanh_series(wide), y)
        y = y.to(x.dtype)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y * y)


SERIES_WITHIN = 0.25


def tanh_series(x: Tensor) -> Tensor:
    """tanh's Taylor polynomial of degree 9: where |x| < 1/4 off by 10⁻⁸ of its value at most."""
    square = x * x
    series = 62 / 2835
    for coefficient in (-17 / 315, 2 / 15, -1 / 3, 1):
        series = series * square + coefficient
    return x * series


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    if x.dtype in (torch.bfloat16, torch.float32) and torch.compiler.is_compiling():
        return LogisticTanh.apply(x)
    return torch.tanh(x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": tanh,
    "elu": nn.functional.elu,
    "leaky_relu": nn.functional.leaky_relu,
    "softplus": nn.functional.softplus,
    "sigmoid": torch.sigmoid,
}


def affine(bias: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """x W_r + b_r: (R, 1, O), (R, B, I), (R, I, O) -> (R, B, O).

    Compiled, the bias is added where the product is next read: `baddbmm` would go over it twice.
    """
    if not torch.compiler.is_compiling():
        return torch.baddbmm(bias, rows, weight)
    product = torch.bmm(rows, weight)
    return product + bias.to(product.dtype)


class Linear(nn.Module):
    """R affine maps, x W_r + b_r: (R, ..., inputs) -> (R, ..., outputs); linear without a bias."""

    def __init__(self, replicas: int, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(replicas, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(replicas, 1, outputs)) if bias else None
        self.fans = inputs, outputs

    def forward(self, x: Tensor, hold: bool = False) -> Tensor:
        """The map; with `hold`, a gradient goes through x alone."""
        weight, bias = self.weight, self.bias
        rows = x.flatten(1, -2)  # (R, B, inputs)
        if bias is None:
            product = torch.bmm(rows, weight.detach() if hold else weight)
        else:
            if hold:
                weight, bias = weight.detach(), bias.detach()
            product = affine(bias, rows, weight)
        return product.unflatten(1, x.shape[1:-1])


class BatchNorm(nn.Module):
    """Each unit standardised over the minibatch, then scaled and shifted, replica by replica.

    Ioffe & Szegedy 2015. Moments are computed in float32. In training mode running averages of them
    are kept; out of it those are used, and a row's output depends on no other row.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-5

    def __init__(self, replicas: int, units: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(replicas, 1, units))
        self.shift = nn.Parameter(torch.zeros(replicas, 1, units))
        self.register_buffer("mean", torch.zeros(replicas, 1, units))
        self.register_buffer("variance", torch.ones(replicas, 1, units))

    def forward(self, x: Tensor) -> Tensor:
        """(R, ..., units) -> the same."""
        rows = x.flatten(1, -2).float()  # (R, B, units)
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(rows, 1, keepdim=True, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.MOMENTUM)
                self.variance.lerp_(variance, self.MOMENTUM)
        scale = self.gain * (variance + self.EPSILON).rsqrt()
        return ((rows - mean) * scale + self.shift).to(x.dtype).view(x.shape)


class MLP(nn.Module):
    """Affine layers with an activation between them, none after the last.

    Args:
        sizes: widths from the input to the output, hidden ones between.
        batch_norm: between each hidden layer and its activation.
        side: width of a side input that every hidden layer takes, too: a linear map of its own is
            added before the activation.
    """

    def __init__(
        self,
        replicas: int,
        sizes: Sequence[int],
        activation: str,
        batch_norm: bool = False,
        side: int = 0,
    ):
        super().__init__()
        # Batch norm takes a bias away again: by round-off alone Adam would move it.
        biases = [not batch_norm] * (len(sizes) - 2) + [True]
        self.layers = nn.ModuleList(
            Linear(replicas, inputs, outputs, bias)
            for (inputs, outputs), bias in zip(pairwise(sizes), biases, strict=True)
        )
        self.norms = nn.ModuleList(
            BatchNorm(replicas, units) if batch_norm else nn.Identity() for units in sizes[1:-1]
        )
        self.sides = side_inputs(replicas, side, sizes[1:-1])
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor, hold: bool = False, side: Tensor | None = None) -> Tensor:
        """The network's outputs; with `hold`, a gradient goes through x and the side input alone.

        Args:
            side: the side input of each row, (R, ..., side).
        """
        for number, (layer, norm) in enumerate(zip(self.layers[:-1], self.norms, strict=True)):
            x = norm(layer(x, hold))
            if side is not None:
                x = x + self.sides[number](side, hold)
            x = self.activation(x)
        return self.layers[-1](x, hold)

    def of_biases(self, mean: Tensor) -> Tensor:
        """What of a mean image (X,) the last biases can hold: all of it."""
        return mean

    @torch.no_grad()
    def centre(self, outputs: Tensor) -> None:
        """Set the last biases to wanted outputs (X,)."""
        bias = self.layers[-1].bias
        bias.copy_(outputs.expand_as(bias))


def side_inputs(replicas: int, side: int, units: Sequence[int]) -> nn.ModuleList:
    """The linear map of a side input to each of several hidden layers; none without one."""
    return nn.ModuleList(Linear(replicas, side, count, bias=False) for count in units if side)
