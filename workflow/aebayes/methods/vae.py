"""The variational autoencoder: Kingma & Welling 2013 (arXiv:1312.6114), Rezende et al. 2014.

One phase, "bound": encoder and decoder together maximise the evidence lower bound,
with the KL in closed form (equation 10) or all of it by Monte Carlo over k samples (equation 8).
"""

from torch import Tensor

from aebayes.methods.base import Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.normal import kl_to_standard_normal, log_normal
from aebayes.streams import Streams


class VAE(Method):
    """Gaussian encoder, decoder, and the bound between them."""

    def __init__(self, experiment: dict, inputs: int, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], inputs, replicas)
        self.samples = experiment["objective"]["samples"]
        self.bound = {"analytic": self.analytic_bound, "monte_carlo": self.monte_carlo_bound}[
            experiment["objective"]["kl"]
        ]

    def phases(self) -> list[Phase]:
        return [Phase("bound", self.loss, [self.model])]

    def loss(self, x: Tensor, streams: Streams) -> Tensor:
        """−ELBO in nats, averaged over samples and batch: (R, B, X) -> (R,)."""
        mean, log_sd = self.model.encoder.moments(x)  # (R, B, Z) each
        noise = streams.normal(self.samples, *mean.shape[1:])  # (R, K, B, Z)
        z = mean.unsqueeze(1) + log_sd.exp().unsqueeze(1) * noise
        return -self.bound(x, z, mean, log_sd).flatten(1).mean(1)

    def analytic_bound(self, x: Tensor, z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
        """E_q log p(x|z) − KL(q(z|x) ‖ p(z)), equation 10: -> (R, K, B)."""
        kl = kl_to_standard_normal(mean, log_sd)  # (R, B)
        return self.model.log_likelihood(x, z) - kl.unsqueeze(1)

    def monte_carlo_bound(self, x: Tensor, z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) at each sample, equation 8: -> (R, K, B)."""
        log_q = log_normal(z, mean.unsqueeze(1), log_sd.unsqueeze(1))
        return self.model.log_joint(x, z) - log_q
