"""The generative adversarial network: Goodfellow et al. 2014 (arXiv:1406.2661), Algorithm 1.

Two phases: the discriminator learns to tell images of the data from decoded draws of the prior,
then the generator, prior and decoder, learns to make it fail. There is no encoder.
"""

from math import prod

import torch
from torch import Tensor
from torch.nn.functional import softplus

from aebayes.methods.base import Batch, Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.networks.layers import MLP
from aebayes.streams import Streams

# Each is minimised over the generator; t is the discriminator's logit for "this is of the data".
GENERATOR_LOSSES = {
    "non_saturating": lambda t: softplus(-t),  # −log D(G(z))
    "minimax": lambda t: -softplus(t),  # log(1 − D(G(z)))
}


class GAN(Method):
    """The generator G(z) = E[x|z], and the discriminator D(x) = σ(T(x))."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        adversary = experiment["adversary"]
        sizes = [prod(shape), *adversary["hidden"], 1]
        self.adversary = MLP(replicas, sizes, adversary["activation"])
        self.generator = GENERATOR_LOSSES[experiment["objective"]["generator_loss"]]

    def phases(self) -> list[Phase]:
        return [
            Phase("discriminator", self.discriminator_loss, [self.adversary], self.draw),
            Phase("generator", self.generator_loss, [self.model], self.draw),
        ]

    def draw(self, batch: Batch, streams: Streams) -> tuple[Tensor]:
        """Codes from the prior, one for each image: (R, B, Z)."""
        return (self.model.prior.sample(streams, batch.x.shape[1]),)

    def logits(self, x: Tensor) -> Tensor:
        """T(x): (R, ..., B, X) -> (R, ..., B)."""
        return self.adversary(x).float().squeeze(-1)

    def discriminator_loss(self, x: Tensor, z: Tensor) -> Tensor:
        """−E log D(x) − E log(1 − D(G(z))): (R, B, X) -> (R,)."""
        with torch.no_grad():
            generated = self.model.decode(z)
        t_data, t_generated = self.logits(torch.stack([x, generated], 1)).unbind(1)
        return (softplus(-t_data) + softplus(t_generated)).mean(1)

    def generator_loss(self, x: Tensor, z: Tensor) -> Tensor:
        """The generator's loss against the discriminator: (R, B, X), not read, -> (R,)."""
        return self.generator(self.logits(self.model.decode(z))).mean(1)
