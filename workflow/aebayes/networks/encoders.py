"""q(z|x): diagonal Gaussian, noise-fed (black box) and deterministic.

Every encoder has `sample`; the Gaussian alone has a density.
"""

import torch
from torch import Tensor, nn

from aebayes.networks.layers import MLP
from aebayes.networks.normal import log_normal
from aebayes.streams import Streams


class GaussianEncoder(nn.Module):
    """q(z|x) = N(z; μ(x), σ(x)²), σ = exp(linear). Kingma & Welling 2013, section 3."""

    has_density = True

    def __init__(self, replicas: int, inputs: int, latent: int, settings: dict):
        super().__init__()
        sizes = [inputs, *settings["hidden"], 2 * latent]
        self.network = MLP(replicas, sizes, settings["activation"])

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation: (R, B, X) -> two of (R, B, Z)."""
        mean, log_sd = self.network(x).float().chunk(2, -1)
        return mean, log_sd

    def sample(self, x: Tensor, streams: Streams) -> Tensor:
        """One code per input, reparameterised: (R, B, X) -> (R, B, Z)."""
        mean, log_sd = self.moments(x)
        return mean + log_sd.exp() * streams.normal(*mean.shape[1:])

    def log_prob(self, z: Tensor, x: Tensor) -> Tensor:
        """log q(z|x) in nats: (R, ..., B, Z), (R, B, X) -> (R, ..., B)."""
        mean, log_sd = self.moments(x)
        between = z.dim() - mean.dim()
        shape = mean.shape[:1] + (1,) * between + mean.shape[1:]
        return log_normal(z, mean.view(shape), log_sd.view(shape))


class NoiseEncoder(nn.Module):
    """z = f(x, ε), ε ~ N(0, I): any q(z|x), with no density that could be evaluated.

    AVB section 3 (black-box inference model); AAE section 2 ("universal approximator posterior").
    """

    has_density = False

    def __init__(self, replicas: int, inputs: int, latent: int, settings: dict):
        super().__init__()
        self.noise = settings["noise"]
        sizes = [inputs + self.noise, *settings["hidden"], latent]
        self.network = MLP(replicas, sizes, settings["activation"])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """f(x, ε): (R, B, X), (R, B, N) -> (R, B, Z)."""
        return self.network(torch.cat([x, noise], -1)).float()

    def sample(self, x: Tensor, streams: Streams) -> Tensor:
        """One code per input: (R, B, X) -> (R, B, Z)."""
        return self(x, streams.normal(x.shape[1], self.noise))


class DeterministicEncoder(nn.Module):
    """z = f(x): q(z|x) is a point. AAE section 2."""

    has_density = False

    def __init__(self, replicas: int, inputs: int, latent: int, settings: dict):
        super().__init__()
        self.network = MLP(replicas, [inputs, *settings["hidden"], latent], settings["activation"])

    def sample(self, x: Tensor, streams: Streams) -> Tensor:
        """The code of each input: (R, B, X) -> (R, B, Z); `streams` is not drawn from."""
        return self.network(x).float()


ENCODERS = {
    "gaussian": GaussianEncoder,
    "noise": NoiseEncoder,
    "deterministic": DeterministicEncoder,
}
