"""The variational autoencoder: Kingma & Welling 2013 (arXiv:1312.6114), Rezende et al. 2014.

One phase, "bound": encoder and decoder together maximise the evidence lower bound,
with the KL in closed form (equation 10) or all of it by Monte Carlo over k samples (equation 8).
With a warm-up the KL counts less at first, so that codes say something before it is saved that they
do (Bowman et al. 2016, arXiv:1511.06349; Sønderby et al. 2016, arXiv:1602.02282).
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
        self.warm_up = experiment["objective"].get("warm_up", 0.0)
        self.loss = {"analytic": self.analytic_loss, "monte_carlo": self.monte_carlo_loss}[
            experiment["objective"]["kl"]
        ]

    def phases(self) -> list[Phase]:
        return [Phase("bound", self.loss, [self.model], self.draw)]

    def draw(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Noise for k codes an image, (R, K, B, N), and the KL's weight where it grows."""
        noise = self.model.noise(streams, self.samples, batch.x.shape[1])
        return noise, *self.draw_weight(batch)

    def analytic_loss(self, x: Tensor, noise: Tensor, weight: Tensor | None = None) -> Tensor:
        """KL(q(z|x) ‖ p(z)) − E_q log p(x|z), equation 10, in nats: (R, B, X) -> (R,).

        Args:
            weight: of the KL, a number; 1 if absent.
        """
        q = self.model.encoder.posterior(x)
        z, _ = q.transform(noise)  # (R, K, B, Z)
        kl = kl_to_standard_normal(q.mean, q.log_sd)  # (R, B)
        if weight is not None:
            kl = weight * kl
        return (kl - self.model.log_likelihood(x, z).mean(1)).mean(1)

    def monte_carlo_loss(self, x: Tensor, noise: Tensor, weight: Tensor | None = None) -> Tensor:
        """E_q[log q(z|x) − log p(x, z)], equation 8, in nats: (R, B, X) -> (R,).

        Args:
            weight: of log q(z|x) − log p(z), a number; 1 if absent.
        """
        z, log_q = self.model.encoder.posterior(x).transform(noise)
        loss = log_q - self.model.log_joint(x, z)  # (R, K, B)
        if weight is not None:
            loss = loss - (1 - weight) * (log_q - self.model.log_prior(z))
        return loss.flatten(1).mean(1)
