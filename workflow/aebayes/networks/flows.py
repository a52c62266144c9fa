"""Inverse autoregressive flow: a q(z|x) with a density that need not be a Gaussian.

Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling 2016 (arXiv:1606.04934), Algorithm 1. Its
networks are masked perceptrons (MADE, Germain et al. 2015, arXiv:1502.03509): what they say of z_i
depends on z_1 … z_{i−1} and on the image alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from aebayes.networks.layers import ACTIVATIONS, Linear, affine, side_inputs
from aebayes.networks.normal import DiagonalNormal, aligned

GATE = 1.5  # of the sigmoid at step 0: a flow begins by leaving most of z as it is


class MaskedLinear(Linear):
    """R affine maps of which some weights are 0 for good: (R, ..., inputs) -> (R, ..., outputs).

    Args:
        mask: 1 where a weight is free, (inputs, outputs).
    """

    def __init__(self, replicas: int, mask: Tensor):
        super().__init__(replicas, *mask.shape)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, hold: bool = False) -> Tensor:
        """The map; with `hold`, a gradient goes through x alone."""
        weight, bias = self.weight * self.mask, self.bias
        if hold:
            weight, bias = weight.detach(), bias.detach()
        return affine(bias, x.flatten(1, -2), weight).unflatten(1, x.shape[1:-1])


def masks(latent: int, hidden: Sequence[int]) -> list[Tensor]:
    """Of the layers of a masked perceptron from z to two numbers for each z_i.

    A hidden unit of degree d may depend on z_1 … z_d, and what is said of z_i on degrees below i.
    Degrees go round from 1 to Z − 1.
    """
    degrees = [torch.arange(1, latent + 1)]
    degrees += [torch.arange(units) % max(1, latent - 1) + 1 for units in hidden]
    free = [after >= before.unsqueeze(1) for before, after in pairwise(degrees)]
    free.append(torch.arange(1, latent + 1).repeat(2) > degrees[-1].unsqueeze(1))
    return [mask.float() for mask in free]


class Flow(nn.Module):
    """One step, z ← σ z + (1 − σ) m, σ = sigmoid(s): equations 13 and 14.

    Args:
        context: width of what the encoder says of the image, which every hidden layer takes.
        hidden: widths of the hidden layers.
    """

    def __init__(
        self, replicas: int, latent: int, context: int, hidden: Sequence[int], activation: str
    ):
        super().__init__()
        self.layers = nn.ModuleList(MaskedLinear(replicas, mask) for mask in masks(latent, hidden))
        self.sides = side_inputs(replicas, context, hidden)
        self.activation = ACTIVATIONS[activation]

    def gates(self, z: Tensor, context: Tensor, hold: bool) -> tuple[Tensor, Tensor]:
        """m and log σ: (R, ..., B, Z), (R, 1, ..., B, context) -> two of (R, ..., B, Z)."""
        hidden = z
        for layer, side in zip(self.layers[:-1], self.sides, strict=True):
            hidden = self.activation(layer(hidden, hold) + side(context, hold))
        m, s = self.layers[-1](hidden, hold).to(z.dtype).chunk(2, -1)
        return m, nn.functional.logsigmoid(s + GATE)

    def forward(self, z: Tensor, context: Tensor, hold: bool = False) -> tuple[Tensor, Tensor]:
        """The step, and log |∂z'/∂z|: (R, ..., Z) -> the same, and (R, ...)."""
        m, log_gate = self.gates(z, context, hold)
        gate = log_gate.exp()
        return gate * z + (1 - gate) * m, log_gate.sum(-1)

    def inverse(self, z: Tensor, context: Tensor, hold: bool = False) -> tuple[Tensor, Tensor]:
        """The z that the step maps to this one, one number after the other, and log |∂z'/∂z|."""
        before, log_gate = torch.zeros_like(z), None
        for _ in range(z.shape[-1]):
            m, log_gate = self.gates(before, context, hold)
            gate = log_gate.exp()
            before = (z - (1 - gate) * m) / gate
        return before, log_gate.sum(-1)


@dataclass(frozen=True)
class FlowPosterior:
    """q(z|x): a diagonal Gaussian, then flows, the order of z turned round after each.

    Args:
        base: the Gaussian.
        context: what the encoder says of each image besides, (R, B, H).
        flows: the steps.
        hold: their parameters take no gradient.
    """

    base: DiagonalNormal
    context: Tensor
    flows: Sequence[Flow]
    hold: bool = False

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z(ε) and log q(z|x): (R, ..., B, Z) -> the same, and (R, ..., B)."""
        z, log_q = self.base.transform(noise)
        for flow in self.flows:
            z, log_slope = flow(z, self.context_of(z), self.hold)
            z, log_q = z.flip(-1), log_q - log_slope
        return z, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x), by the flows' inverses: (R, ..., B, Z) -> (R, ..., B).

        A code for all images, (R, ..., 1, Z), is taken for each of them.
        """
        z, log_q = z.expand(*z.shape[:-2], self.context.shape[1], -1), 0.0
        for flow in reversed(list(self.flows)):
            z, log_slope = flow.inverse(z.flip(-1), self.context_of(z), self.hold)
            log_q = log_q - log_slope
        return log_q + self.base.log_prob(z)

    def context_of(self, z: Tensor) -> Tensor:
        """The context beside each code; once for all codes of an image."""
        return aligned(self.context, z)

    def held(self) -> "FlowPosterior":
        """The same density, whose parameters take no gradient."""
        return FlowPosterior(self.base.held(), self.context.detach(), self.flows, True)
