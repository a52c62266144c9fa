"""The variational autoencoder: Kingma & Welling 2013 (arXiv:1312.6114), Rezende et al. 2014.

One phase, "bound": encoder and decoder together maximise the evidence lower bound,
with the KL in closed form (equation 10) or all of it by Monte Carlo over k samples (equation 8).
"""

from torch import Tensor

from aebayes.methods.base import Batch, Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.networks.normal import kl_to_standard_normal
from aebayes.streams import Streams


class VAE(Method):
    """Gaussian encoder, decoder, and the bound between them."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.samples = experiment["objective"]["samples"]
        self.loss = {"analytic": self.analytic_loss, "monte_carlo": self.monte_carlo_loss}[
            experiment["objective"]["kl"]
        ]

    def phases(self) -> list[Phase]:
        return [Phase("bound", self.loss, [self.model], self.draw)]

    def draw(self, batch: Batch, streams: Streams) -> tuple[Tensor]:
        """Noise for k codes an image: (R, K, B, Z)."""
        return (self.model.noise(streams, self.samples, batch.x.shape[1]),)

    def analytic_loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """KL(q(z|x) ‖ p(z)) − E_q log p(x|z), equation 10, in nats: (R, B, X) -> (R,)."""
        q = self.model.encoder.posterior(x)
        z, _ = q.transform(noise)  # (R, K, B, Z)
        kl = kl_to_standard_normal(q.mean, q.log_sd)  # (R, B)
        return (kl - self.model.log_likelihood(x, z).mean(1)).mean(1)

    def monte_carlo_loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """E_q[log q(z|x) − log p(x, z)], equation 8, in nats: (R, B, X) -> (R,)."""
        z, log_q = self.model.encoder.posterior(x).transform(noise)
        return (log_q - self.model.log_joint(x, z)).flatten(1).mean(1)  # of (R, K, B)
