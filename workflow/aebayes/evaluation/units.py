"""Which latent units a model uses, and what it is without the others.

Burda et al. 2015, section 5: a unit u is active if Var_x(E_q(u|x)[u]) > 0.01.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Convolution
from aebayes.networks.layers import BatchNorm, Linear
from aebayes.streams import Streams

ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class UnitMoments:
    """E_x[E_q[u]] and Var_x(E_q[u]) of every unit of a layer, both (R, Z), in double precision."""

    mean: Tensor
    variance: Tensor

    def of(self, replica: int) -> "UnitMoments":
        """One replica's, both (Z,)."""
        return UnitMoments(self.mean[replica], self.variance[replica])

    @property
    def active(self) -> Tensor:
        """Which units are."""
        return self.variance > ACTIVE_VARIANCE


@torch.no_grad()
def unit_moments(
    model: AutoEncoder, batches: Iterable[Tensor], streams: Streams
) -> list[UnitMoments]:
    """Of each layer; E_q of layer 2 is given a sample of z1.

    Args:
        batches: all training images, (R, B, X) at a time.
    """
    parts = []
    for x in batches:
        noise = model.noise(streams, x.shape[1])
        parts.append(torch.cat(model.encoder.posterior(x).means(noise), -1))
    layers = torch.cat(parts, 1).double().split(model.layers, -1)
    return [UnitMoments(layer.mean(1), layer.var(1)) for layer in layers]


@torch.no_grad()
def one_replica(model: AutoEncoder, replica: int) -> AutoEncoder:
    """A copy of one replica's model: replicas are the leading axis of every layer's tensors.

    A basis of noise has as many layers side by side for each of them. Of buffers only batch norm's
    moments are a replica's own: a flow's masks are everyone's.
    """
    small = copy.deepcopy(model)
    for layer in small.modules():
        if isinstance(layer, Linear | Convolution | BatchNorm):
            moments = layer.buffers(recurse=False) if isinstance(layer, BatchNorm) else ()
            for tensor in (*layer.parameters(recurse=False), *moments):
                tensor.data = tensor.data.chunk(model.replicas)[replica].clone()
    small.replicas = 1
    return small


@torch.no_grad()
def without_inactive(model: AutoEncoder, replica: int, layers: list[UnitMoments]) -> AutoEncoder:
    """One replica's model, its inactive units taken out of every network.

    What reads an inactive unit reads its mean over the images instead, as part of a bias: a unit of
    z1 that always says the same, 2.4 in a trained model, is not active, but not nothing either.

    Args:
        layers: that replica's moments, (Z,) each.
    """
    small = one_replica(model, replica)  # whose layers are cut in place
    kept = [layer.active.nonzero().flatten().cpu() for layer in layers]
    sizes = [len(units) for units in kept]
    encoder, decoder = small.encoder, small.decoder
    read(decoder.layers[0], layers[0])
    if len(kept) == 1:
        cut(encoder.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        encoder.noise = small.prior.latent = sizes[0]
    else:
        cut(encoder.first.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        read(encoder.second.network.layers[0], layers[0])
        cut(encoder.second.network.layers[-1], 2, moments_of(kept[1], model.layers[1]))
        read(small.prior.network.layers[0], layers[1])
        cut(small.prior.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        encoder.first.noise, encoder.second.noise = sizes
        encoder.noise = small.prior.latent = sum(sizes)
        small.prior.z1, small.prior.z2 = sizes
    small.layers = sizes
    return small


def read(layer: Linear, units: UnitMoments) -> None:
    """Let a layer read the active units alone, and the others' means as part of its bias."""
    constant = units.mean.masked_fill(units.active, 0).to(layer.weight)
    layer.bias.data = layer.bias.data + constant @ layer.weight.data
    cut(layer, 1, units.active.nonzero().flatten())


def moments_of(units: Tensor, of: int) -> Tensor:
    """The outputs that are the units' means and log deviations, of a layer of `of` units."""
    return torch.cat([units, of + units])


def cut(layer: Linear, axis: int, kept: Tensor) -> None:
    """Keep some inputs (axis 1) or outputs (2) of a layer."""
    layer.weight.data = layer.weight.data.index_select(axis, kept.to(layer.weight.device))
    if axis == 2:
        layer.bias.data = layer.bias.data.index_select(axis, kept.to(layer.bias.device))
