"""Weights at step 0, drawn from each replica's own stream."""

import math

import torch
from torch import Tensor, nn

from aebayes.networks.convolutions import Convolution
from aebayes.networks.layers import Linear
from aebayes.streams import Streams


def glorot_uniform(streams: Streams, fans: tuple[int, int], *shape: int) -> Tensor:
    """U(−a, a) with a² = 6 / (inputs + outputs), the fans: (R, *shape). Glorot & Bengio 2010."""
    bound = math.sqrt(6 / sum(fans))
    return (2 * streams.uniform(*shape) - 1) * bound


def normal_001(streams: Streams, fans: tuple[int, int], *shape: int) -> Tensor:
    """N(0, 0.01²): (R, *shape), as the AAE paper initialises."""
    return 0.01 * streams.normal(*shape)


INITIALISATIONS = {"glorot_uniform": glorot_uniform, "normal_001": normal_001}


@torch.no_grad()
def initialise(network: nn.Module, scheme: str, streams: Streams) -> None:
    """Fill every affine layer and convolution, in the order of definition; biases are zero.

    Where a replica has several of a layer side by side, they follow each other in its stream.
    """
    for layer in network.modules():
        if isinstance(layer, Linear | Convolution):
            shape = len(layer.weight) // len(streams), *layer.weight.shape[1:]
            weight = INITIALISATIONS[scheme](streams, layer.fans, *shape)
            layer.weight.copy_(weight.flatten(0, 1))
            if layer.bias is not None:
                layer.bias.zero_()
