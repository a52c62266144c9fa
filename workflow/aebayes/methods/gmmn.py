"""GMMN+AE, the generative moment matching network on an autoencoder's codes.

Li, Swersky & Zemel 2015 (arXiv:1502.02761), section 4. Two phases: an autoencoder is trained to
reconstruct; a network from uniform noise, here the prior, is trained so that its codes match the
encoder's by maximum mean discrepancy. Where the AAE bends q(z) to a given p(z), this bends p(z) to
whatever q(z) the autoencoder has.
"""

import torch
from torch import Tensor

from aebayes.kernels import mmd_squared
from aebayes.methods.base import Batch, Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.streams import Streams

SMALLEST = 1e-8  # added under the root, whose slope at 0 is infinite


class GMMN(Method):
    """Deterministic encoder, decoder, and a learned prior."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.widths = experiment["objective"]["widths"]

    def phases(self) -> list[Phase]:
        model = self.model
        return [
            Phase(
                "reconstruction",
                self.reconstruction_loss,
                [model.encoder, model.decoder],
                self.draw_for_reconstruction,
            ),
            Phase("matching", self.matching_loss, [model.prior], self.draw_for_matching),
        ]

    def draw_for_matching(self, batch: Batch, streams: Streams) -> tuple[Tensor, Tensor]:
        """The encoder's noise, and the prior's: as many codes as there are images."""
        h = self.model.prior.source.sample(streams, batch.x.shape[1])
        return *self.draw_noise(batch, streams), h

    def matching_loss(self, x: Tensor, noise: Tensor, h: Tensor) -> Tensor:
        """√MMD² between the encoder's codes and the prior's, section 3: (R, B, X) -> (R,)."""
        with torch.no_grad():
            codes = self.model.encoder(x, noise)
        squared = mmd_squared(codes, self.model.prior(h), self.widths, unbiased=False)
        return (squared + SMALLEST).sqrt()
