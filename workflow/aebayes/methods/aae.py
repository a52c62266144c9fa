"""The adversarial autoencoder: Makhzani et al. 2015 (arXiv:1511.05644), section 2.

A reconstruction phase (encoder and decoder), then a regularisation phase in two parts: the
discriminator learns to tell codes from prior samples, then the encoder, as its generator, learns
to make it fail. q(z|x) may be deterministic, Gaussian or noise-fed. The discriminator sees z
alone. With the generator loss "kl" the two encoder losses add up to those of AVB with T restricted
to T(z); but each has an optimiser of its own, which scales it, so `avb_restricted.py` is another
algorithm.

With labels (section 2.3) the discriminator is told each image's class, or that it is unknown, and
compares the code with a draw from that class's part of the prior, or from the whole of it. Told to
the decoder instead (section 3), labels leave to the code what they do not say: the style. That q(z)
is p(z) does not keep the class out of z; that q(z|y) is p(z) for every class y does, and is what a
discriminator demands that is told the class, too.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from aebayes.methods.base import Batch, Method, Phase
from aebayes.methods.distortion import corrupt
from aebayes.networks.adversaries import CodeAdversary
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.streams import Streams

# Each is minimised over the encoder; t is the discriminator's logit for "this is a code".
GENERATOR_LOSSES = {
    "non_saturating": softplus,  # −log(1 − D): codes taken for prior samples
    "minimax": lambda t: -softplus(-t),  # log D, equation 1
    "kl": lambda t: t,  # E_q T(z), AVB equation 5.3
}


class AAE(Method):
    """Encoder, decoder, and the discriminator D(z) = σ(T(z))."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.informed = "labelled" in experiment["objective"]
        # How many classes the discriminator tells apart, the unknown one among them.
        self.told_classes = 0
        if self.informed:
            self.told_classes = self.model.prior.classes + 1
        elif experiment["objective"].get("discriminator_told"):
            self.told_classes = self.model.classes
        self.adversary = CodeAdversary(
            replicas, self.model.latent, experiment["adversary"], self.told_classes
        )
        self.generator = GENERATOR_LOSSES[experiment["objective"]["generator_loss"]]
        corrupt(self, experiment["objective"], shape)
        self.instance_noise = experiment["objective"].get("instance_noise", 0.0)

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "reconstruction",
                self.reconstruction_loss,
                [self.model],
                self.draw_for_reconstruction,
            ),
            Phase(
                "discriminator",
                self.discriminator_loss,
                [self.adversary],
                self.draw_for_discriminator,
            ),
            Phase("generator", self.generator_loss, [self.model.encoder], self.draw_for_generator),
        ]

    def draw_for_reconstruction(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """As ever, and for a decoder that is told them labels in one-hot form (R, B, C)."""
        classes = self.model.classes
        told = (one_hot(batch.labels, classes).float(),) if classes else ()
        return *super().draw_for_reconstruction(batch, streams), *told

    def draw_for_discriminator(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Images, noise, draws from the prior, instance noise, and with labels those, one-hot."""
        if self.informed:
            noise = self.draw_noise(batch, streams)
            prior = self.model.prior.sample_known(batch.labels, streams)
        else:
            *noise, prior = self.draw_noise_and_prior(batch, streams)
        prior = prior + self.draw_instance_noise(batch, streams)
        blur = self.draw_instance_noise(batch, streams)
        return self.draw_seen(batch, streams), *noise, prior, blur, *self.told(batch.labels)

    def draw_for_generator(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Images, noise, instance noise, and with labels those in one-hot form."""
        blur = self.draw_instance_noise(batch, streams)
        seen = self.draw_seen(batch, streams)
        return seen, *self.draw_noise(batch, streams), blur, *self.told(batch.labels)

    def told(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels (R, B) in one-hot form (R, B, C), if the discriminator is told them.

        With labels of some images alone the last place is for an unknown one.
        """
        return (one_hot(labels, self.told_classes).float(),) if self.told_classes else ()

    def discriminator_loss(
        self, x: Tensor, seen: Tensor, noise: Tensor, prior: Tensor, blur: Tensor, *told: Tensor
    ) -> Tensor:
        """−E_q log D(z) − E_p log(1 − D(z)): (R, B, X) -> (R,)."""
        with torch.no_grad():
            codes = self.model.encoder(seen, noise) + blur  # (R, B, Z)
        t_codes, t_prior = self.adversary(x, torch.stack([codes, prior], 1), *told).unbind(1)
        return (softplus(-t_codes) + softplus(t_prior)).mean(1)

    def generator_loss(
        self, x: Tensor, seen: Tensor, noise: Tensor, blur: Tensor, *told: Tensor
    ) -> Tensor:
        """The encoder's loss against the discriminator: (R, B, X) -> (R,)."""
        codes = self.model.encoder(seen, noise) + blur
        return self.generator(self.adversary(x, codes, *told)).mean(1)
