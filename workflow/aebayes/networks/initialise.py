"""Weights at step 0, drawn from each replica's own stream."""

import math

import torch
from torch import Tensor, nn

from aebayes.networks.layers import Linear
from aebayes.streams import Streams


def glorot_uniform(streams: Streams, inputs: int, outputs: int) -> Tensor:
    """U(−a, a) with a² = 6 / (inputs + outputs): (R, inputs, outputs). Glorot & Bengio 2010."""
    bound = math.sqrt(6 / (inputs + outputs))
    return (2 * streams.uniform(inputs, outputs) - 1) * bound


def normal_001(streams: Streams, inputs: int, outputs: int) -> Tensor:
    """N(0, 0.01²): (R, inputs, outputs), as the AAE paper initialises."""
    return 0.01 * streams.normal(inputs, outputs)


INITIALISATIONS = {"glorot_uniform": glorot_uniform, "normal_001": normal_001}


@torch.no_grad()
def initialise(network: nn.Module, scheme: str, streams: Streams) -> None:
    """Fill every affine layer of `network`, in the order of its definition; biases are zero."""
    for layer in network.modules():
        if isinstance(layer, Linear):
            layer.weight.copy_(INITIALISATIONS[scheme](streams, *layer.weight.shape[1:]))
            if layer.bias is not None:
                layer.bias.zero_()
