"""p(x|z): what the decoder's outputs mean. Values are nats, summed over the data's dimensions."""

import math

import torch
from torch import Tensor, nn


class Bernoulli:
    """Independent Bernoullis; the decoder gives logits."""

    def log_prob(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: logits (..., X), x broadcastable -> (...)."""
        logits = logits.float()
        return (x * logits - nn.functional.softplus(logits)).sum(-1)

    def mean(self, logits: Tensor) -> Tensor:
        """E[x|z]: (..., X), between 0 and 1."""
        return torch.sigmoid(logits.float())


class Gaussian:
    """N(x; m, σ²I) with a fixed σ; the decoder gives m."""

    def __init__(self, sd: float):
        self.sd = sd

    def log_prob(self, mean: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: mean (..., X), x broadcastable -> (...)."""
        standardised = (x - mean.float()) / self.sd
        constant = math.log(self.sd) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * standardised.square() - constant).sum(-1)

    def mean(self, mean: Tensor) -> Tensor:
        """E[x|z]: (..., X)."""
        return mean.float()


def make_likelihood(settings: dict) -> Bernoulli | Gaussian:
    """The likelihood that an experiment's `model` asks for."""
    if settings["likelihood"] == "bernoulli":
        return Bernoulli()
    return Gaussian(settings["likelihood_sd"])
