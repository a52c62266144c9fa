"""The semi-supervised VAE "M2": Kingma, Rezende, Mohamed & Welling 2014 (arXiv:1406.5298).

One phase, "bound": all networks together minimise −L(x, y) (equation 6) of images whose class is
known, −U(x) (equation 7), which sums over all classes, of the others, and α times the cross-entropy
of labelled ones (equation 9).
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from aebayes.methods.base import Batch, Phase
from aebayes.methods.classes import ClassMethod
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.networks.normal import kl_to_standard_normal
from aebayes.streams import Streams


class M2(ClassMethod):
    """q(y|x), q(z|x, y) and p(x|y, z)."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.alpha = experiment["objective"]["alpha"]

    def phases(self) -> list[Phase]:
        return [Phase("bound", self.loss, [self.model], self.draw)]

    def draw(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Noise (R, C, B, Z), what is known of the classes (R, B, C), and labelled images."""
        classes = self.model.encoder.classes
        noise = self.model.noise(streams, classes, batch.x.shape[1])
        known = one_hot(batch.labels, classes + 1)[..., :classes].float()  # 0 where unknown
        return noise, known, *self.draw_labelled(batch, streams)

    def loss(
        self, x: Tensor, noise: Tensor, known: Tensor, labelled: Tensor, labels: Tensor
    ) -> Tensor:
        """Equation 9 for an image of the minibatch, in nats: (R, B, X) -> (R,)."""
        log_q = self.model.encoder.logits(x).log_softmax(-1)  # (R, B, C)
        unknown = 1 - known.sum(-1)
        weights = known + unknown.unsqueeze(-1) * log_q.exp()
        bounds = self.bounds(x, noise).movedim(1, -1)  # L(x, y) of every class, (R, B, C)
        entropy = -(log_q.exp() * log_q).sum(-1)
        bound = (weights * bounds).sum(-1) + unknown * entropy
        return self.alpha * self.classification_loss(x, labelled, labels) - bound.mean(1)

    def bounds(self, x: Tensor, noise: Tensor) -> Tensor:
        """L(x, y), equation 6, for every class: (R, B, X), (R, C, B, Z) -> (R, C, B)."""
        y = torch.eye(noise.shape[1], device=x.device).unsqueeze(1)  # (C, 1, C)
        y = y.expand(*noise.shape[:-1], -1)
        q = self.model.encoder.posterior(x, y)
        z, _ = q.transform(noise)
        log_p_y = self.model.prior.category.log_prob(y)
        kl = kl_to_standard_normal(q.mean, q.log_sd)
        return self.model.log_likelihood(x, torch.cat([y, z], -1)) + log_p_y - kl
