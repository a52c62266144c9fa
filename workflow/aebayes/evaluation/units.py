"""Which latent units a model uses, and what it is without the others.

Burda et al. 2015, section 5: a unit u is active if Var_x(E_q(u|x)[u]) > 0.01.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.layers import Linear
from aebayes.streams import Streams

ACTIVE_VARIANCE = 0.01


@torch.no_grad()
def unit_variances(model: AutoEncoder, batches: Iterable[Tensor], streams: Streams) -> list[Tensor]:
    """Var_x(E_q[u]) of every unit, a tensor (R, Z) a layer; E of layer 2 given a sample of z1.

    Args:
        batches: all training images, (R, B, X) at a time.
    """
    parts = []
    for x in batches:
        noise = model.noise(streams, x.shape[1])
        parts.append(torch.cat(model.encoder.posterior(x).means(noise), -1))
    variances = torch.cat(parts, 1).double().var(1)
    return list(variances.split(model.layers, -1))


def active_units(variances: list[Tensor]) -> list[Tensor]:
    """Which units are active, of each layer's variances."""
    return [layer > ACTIVE_VARIANCE for layer in variances]


@torch.no_grad()
def without_inactive(model: AutoEncoder, replica: int, active: list[Tensor]) -> AutoEncoder:
    """One replica's model, its inactive units taken out of every network.

    Args:
        active: by layer, which units are kept, (Z,) booleans.
    """
    # Replicas are a leading axis of every parameter, and layers are cut in place.
    small = copy.deepcopy(model)
    for layer in small.modules():
        if isinstance(layer, Linear):
            cut(layer, 0, torch.tensor([replica]))
    kept = [units.nonzero().flatten().cpu() for units in active]
    sizes = [len(units) for units in kept]
    encoder, decoder = small.encoder, small.decoder
    cut(decoder.layers[0], 1, kept[0])
    if len(kept) == 1:
        cut(encoder.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        encoder.noise = small.prior.latent = sizes[0]
    else:
        cut(encoder.first.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        cut(encoder.second.network.layers[0], 1, kept[0])
        cut(encoder.second.network.layers[-1], 2, moments_of(kept[1], model.layers[1]))
        cut(small.prior.network.layers[0], 1, kept[1])
        cut(small.prior.network.layers[-1], 2, moments_of(kept[0], model.layers[0]))
        encoder.first.noise, encoder.second.noise = sizes
        encoder.noise = small.prior.latent = sum(sizes)
        small.prior.z1, small.prior.z2 = sizes
    small.layers = sizes
    return small


def moments_of(units: Tensor, of: int) -> Tensor:
    """The outputs that are the units' means and log deviations, of a layer of `of` units."""
    return torch.cat([units, of + units])


def cut(layer: Linear, axis: int, kept: Tensor) -> None:
    """Keep some replicas (axis 0), inputs (1) or outputs (2) of a layer."""
    layer.weight.data = layer.weight.data.index_select(axis, kept.to(layer.weight.device))
    if axis != 1:
        layer.bias.data = layer.bias.data.index_select(axis, kept.to(layer.bias.device))
