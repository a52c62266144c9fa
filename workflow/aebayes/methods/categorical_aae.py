"""The AAE with a class and a style: Makhzani et al. 2015 (arXiv:1511.05644), sections 4 to 6.

q(y|x) and q(z|x) share an encoder, and each has a discriminator: one makes the classes look like
draws from Cat(y), the other the styles like draws from N(0, I). A step is the paper's: a
reconstruction phase, a regularisation phase in two parts (discriminators, then the encoder as their
generator), and, where some images are labelled, a classification phase on a minibatch of those.

Without labels the classes are clusters (section 5). With cluster heads in the decoder a code is the
point W_C y + z of a low-dimensional space (section 6), and in a phase of their own heads that come
too near push each other away.

With two views, which the paper has not, the reconstruction phase distorts each image twice, and
reconstructs one view from its own style and the other's class: to y is left what views share.

With a class balance, which the paper has not either, the generator also minimises what the mean of
q(y|x) over a minibatch lacks of p(y): a cluster that no image says any more comes back. The
discriminator alone may fail to bring it: a softmax gives a class that it never says no gradient.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from aebayes.methods.aae import GENERATOR_LOSSES
from aebayes.methods.base import Batch, Phase
from aebayes.methods.classes import ClassMethod
from aebayes.methods.distortion import corrupt
from aebayes.networks.adversaries import CodeAdversary
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.streams import Streams


class CategoricalAAE(ClassMethod):
    """Encoder of class and style, decoder, and the discriminators of both."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        objective, adversary = experiment["objective"], experiment["adversary"]
        prior = self.model.prior
        self.adversary_y = CodeAdversary(replicas, prior.classes, adversary)
        self.adversary_z = CodeAdversary(replicas, prior.style.latent, adversary)
        self.generator = GENERATOR_LOSSES[objective["generator_loss"]]
        self.takes_labelled = "labelled" in objective
        corrupt(self, objective, shape)
        self.two_views = objective.get("two_views", False)
        self.class_balance = objective.get("class_balance", 0.0)
        self.instance_noise = objective.get("instance_noise", 0.0)

    def phases(self) -> list[Phase]:
        discriminators = [self.adversary_y, self.adversary_z]
        encoder = [self.model.encoder]
        reconstruction = (self.reconstruction_loss, [self.model], self.draw_for_reconstruction)
        if self.two_views:
            reconstruction = (self.view_loss, [self.model], self.draw_views)
        phases = [
            Phase("reconstruction", *reconstruction),
            Phase(
                "discriminator",
                self.discriminator_loss,
                discriminators,
                self.draw_for_discriminator,
            ),
            Phase("generator", self.generator_loss, encoder, self.draw_for_generator),
        ]
        if self.takes_labelled:
            classification = Phase(
                "classification", self.classification_loss, encoder, self.draw_labelled
            )
            phases.append(classification)
        if self.model.heads:
            phases.append(
                Phase("heads", self.heads_loss, [self.model.heads], lambda batch, streams: ())
            )
        return phases

    def draw_views(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Two distorted views of each image (R, B, X): one seen, the other seen and as it is."""
        view = self.distortion(batch.x, streams)
        return self.draw_seen(batch, streams), self.add_input_noise(view, streams), view

    def view_loss(self, x: Tensor, other: Tensor, seen: Tensor, view: Tensor) -> Tensor:
        """−E_q log p(view|y, z), z of that view, y of the other: (R, B, X) -> (R,)."""
        y = self.model.encoder.logits(other).softmax(-1)
        _, style = self.model.encoder.heads(seen)
        return -self.model.log_likelihood(view, torch.cat([y, style], -1)).mean(1)

    def draw_for_discriminator(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """A draw from the prior for each image (R, B, C + Z), and what the generator takes."""
        prior = self.model.prior.sample(streams, batch.x.shape[1])
        prior = prior + self.draw_instance_noise(batch, streams)
        return prior, *self.draw_for_generator(batch, streams)

    def draw_for_generator(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Instance noise, and images as the encoder sees them."""
        return self.draw_instance_noise(batch, streams), self.draw_seen(batch, streams)

    def heads_loss(self, x: Tensor) -> Tensor:
        """How much too near cluster heads lie, whatever the images: (R, B, X) -> (R,)."""
        return self.model.heads.crowding()

    def logits(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Both discriminators' logits for "this is a code": (R, ..., C + Z) -> two of (R, ...)."""
        y, z = self.model.prior.parts(codes)
        return self.adversary_y(None, y), self.adversary_z(None, z)

    def discriminator_loss(self, x: Tensor, prior: Tensor, blur: Tensor, seen: Tensor) -> Tensor:
        """−E_q log D − E_p log(1 − D), of both added: (R, B, X) -> (R,)."""
        with torch.no_grad():
            codes = self.model.encoder(seen) + blur
        losses = 0.0
        for t in self.logits(torch.stack([codes, prior], 1)):
            t_codes, t_prior = t.unbind(1)
            losses = losses + (softplus(-t_codes) + softplus(t_prior)).mean(1)
        return losses

    def generator_loss(self, x: Tensor, blur: Tensor, seen: Tensor) -> Tensor:
        """The encoder's loss against both discriminators, and of balance: (R, B, X) -> (R,)."""
        logits, style = self.model.encoder.heads(seen)
        t_y, t_z = self.logits(torch.cat([logits.softmax(-1), style], -1) + blur)
        losses = (self.generator(t_y) + self.generator(t_z)).mean(1)
        if self.class_balance:
            losses = losses + self.class_balance * imbalance(logits)
        return losses


def imbalance(logits: Tensor) -> Tensor:
    """KL(p(y) ‖ mean of q(y|x) over a minibatch) in nats, p uniform: (R, B, C) -> (R,).

    The direction that weighs a class by p(y): in the other, one that no image says adds nothing.
    """
    images, classes = logits.shape[1:]
    mean = logits.log_softmax(-1).logsumexp(1) - math.log(images)  # (R, C), of logarithms
    return -mean.mean(-1) - math.log(classes)
