"""Encoder, prior and decoder: all that evaluation knows of a trained model."""

import torch
from torch import Tensor, nn

from aebayes.networks.encoders import ENCODERS
from aebayes.networks.layers import MLP
from aebayes.networks.likelihoods import make_likelihood
from aebayes.networks.normal import log_standard_normal
from aebayes.streams import Streams

# IWAE's code clips the training mean to this range before taking its logit.
MEAN_RANGE = (0.001, 0.999)


class AutoEncoder(nn.Module):
    """q(z|x), p(z) = N(0, I) and p(x|z), for R replicas.

    Args:
        settings: an experiment's `model`.
        inputs: X, the number of pixels.
    """

    def __init__(self, settings: dict, inputs: int, replicas: int):
        super().__init__()
        self.latent = settings["latent"]
        encoder, decoder = settings["encoder"], settings["decoder"]
        self.encoder = ENCODERS[encoder["kind"]](replicas, inputs, self.latent, encoder)
        sizes = [self.latent, *decoder["hidden"], inputs]
        self.decoder = MLP(replicas, sizes, decoder["activation"])
        self.likelihood = make_likelihood(settings)

    def encode(self, x: Tensor, streams: Streams) -> Tensor:
        """One code per image: (R, B, X) -> (R, B, Z)."""
        return self.encoder.sample(x, streams)

    def decode(self, z: Tensor) -> Tensor:
        """E[x|z]: (R, ..., Z) -> (R, ..., X)."""
        return self.likelihood.mean(self.decoder(z))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats: (R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        outputs = self.decoder(z)
        x = x.view(x.shape[:1] + (1,) * (outputs.dim() - x.dim()) + x.shape[1:])
        return self.likelihood.log_prob(outputs, x)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (..., Z) -> (...)."""
        return log_standard_normal(z)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) in nats: (R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        return self.log_likelihood(x, z) + self.log_prior(z)

    @torch.no_grad()
    def centre_outputs(self, mean: Tensor) -> None:
        """Set the last bias to the logit of the training mean (X,), as IWAE's code does."""
        bias = self.decoder.layers[-1].bias
        bias.copy_(torch.logit(mean.clamp(*MEAN_RANGE)).expand_as(bias))
