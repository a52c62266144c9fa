"""p(z): the standard normal, and IWAE's two stochastic layers."""

import torch
from torch import Tensor, nn

from aebayes.networks.layers import MLP
from aebayes.networks.normal import DiagonalNormal, log_standard_normal
from aebayes.streams import Streams


class StandardNormal(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, latent: int):
        super().__init__()
        self.latent = latent

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (R, ..., Z) -> (R, ...)."""
        return log_standard_normal(z)

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws: (R, *shape, Z)."""
        return streams.normal(*shape, self.latent)


class TwoLayerPrior(nn.Module):
    """p(z2) p(z1|z2), the first standard, both normal; codes are (z1, z2), one after the other.

    Burda et al. 2015, section 5, two stochastic layers.
    """

    def __init__(self, replicas: int, latent: list[int], settings: dict):
        super().__init__()
        self.z1, self.z2 = latent
        self.latent = self.z1 + self.z2
        sizes = [self.z2, *settings["hidden"], 2 * self.z1]
        self.network = MLP(replicas, sizes, settings["activation"])

    def lower(self, z2: Tensor) -> DiagonalNormal:
        """p(z1|z2): (R, ..., Z2)."""
        return DiagonalNormal(*self.network(z2).float().chunk(2, -1))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z1, z2) in nats: (R, ..., Z1 + Z2) -> (R, ...)."""
        z1, z2 = z.split([self.z1, self.z2], -1)
        return self.lower(z2).log_prob(z1) + log_standard_normal(z2)

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws, z2 first: (R, *shape, Z1 + Z2)."""
        z2 = streams.normal(*shape, self.z2)
        z1, _ = self.lower(z2).transform(streams.normal(*shape, self.z1))
        return torch.cat([z1, z2], -1)
