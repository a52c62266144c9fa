"""Affine layers and perceptrons whose leading axis is the replica.

A product over all replicas is one batched matrix product, so that a step costs the same number of
calls for one replica as for ten; `benchmarks/` measures it against one process a replica.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class LogisticTanh(torch.autograd.Function):
    """tanh x = 2σ(2x) − 1: a third of tanh's time in compiled code, exact to bfloat16's rounding.

    Near 0, where a float32 result would lose digits, it is for bfloat16 alone.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        y = (2 * torch.sigmoid(2 * x.float()) - 1).to(x.dtype)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y * y)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    if x.dtype == torch.bfloat16 and torch.compiler.is_compiling():
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


class Linear(nn.Module):
    """R affine maps, x W_r + b_r: (R, ..., inputs) -> (R, ..., outputs)."""

    def __init__(self, replicas: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(replicas, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(replicas, 1, outputs))

    def forward(self, x: Tensor, hold: bool = False) -> Tensor:
        """The map; with `hold`, a gradient goes through x alone."""
        weight, bias = self.weight, self.bias
        if hold:
            weight, bias = weight.detach(), bias.detach()
        rows = x.flatten(1, -2)  # (R, B, inputs)
        return torch.baddbmm(bias, rows, weight).unflatten(1, x.shape[1:-1])


class MLP(nn.Module):
    """Affine layers with an activation between them, none after the last.

    Args:
        sizes: widths from the input to the output, hidden ones between.
    """

    def __init__(self, replicas: int, sizes: Sequence[int], activation: str):
        super().__init__()
        self.layers = nn.ModuleList(
            Linear(replicas, inputs, outputs) for inputs, outputs in pairwise(sizes)
        )
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor, hold: bool = False) -> Tensor:
        """The network's outputs; with `hold`, a gradient goes through x alone."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x, hold))
        return self.layers[-1](x, hold)
