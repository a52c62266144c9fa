"""Adversarial Variational Bayes: Mescheder, Nowozin & Geiger 2017 (arXiv:1701.04722), Algorithm 1.

Two phases. "adversary": T(x, z) learns to tell pairs of data and codes from pairs of data and
prior samples; at its optimum T* = log q(z|x) − log p(z) (Proposition 1). "bound": encoder and
decoder maximise the ELBO with T in the place of that log ratio, and T's own dependence on the
encoder is left out of the gradient, since its expectation is zero (Proposition 2).

With adaptive contrast (Algorithm 2 of the published version) T tells codes from a Gaussian r(z|x)
with the codes' own mean and deviations, a far nearer neighbour than the prior: its estimate of
log q(z|x) − log p(z) is then T plus log r(z|x) − log p(z), which is known. r may have the codes'
correlations, too, so that T is left with what is not Gaussian about them.

A phase sees what the one before it has changed. Algorithm 1 to the letter takes both gradients of
the same codes first, and then both steps: `together`, which encodes an image half as often.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from aebayes.methods.base import Batch, Method, Phase, Together
from aebayes.networks.adversaries import ADVERSARIES
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.networks.normal import CorrelatedNormal, DiagonalNormal
from aebayes.streams import Streams


def logistic(t_codes: Tensor, t_contrast: Tensor) -> Tensor:
    """−log σ(T) of codes, −log(1 − σ(T)) of what they are told from: equation 3.3."""
    return softplus(-t_codes) + softplus(t_contrast)


def f_divergence(t_codes: Tensor, t_contrast: Tensor) -> Tensor:
    """−T of codes, exp(T − 1) of what they are told from: equation 5.10, Nowozin et al. 2016."""
    return (t_contrast - 1).exp() - t_codes


# By name: the adversary's loss, and what its optimum is beyond the log ratio.
ADVERSARY_LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float]] = {
    "logistic": (logistic, 0.0),
    "f_divergence": (f_divergence, 1.0),
}


class AVB(Method):
    """Black-box encoder, decoder, and the adversary T(x, z)."""

    estimates_log_ratio = True

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        objective = experiment.get("objective", {})
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.adversary = self.make_adversary(experiment, shape, replicas)
        loss = objective.get("adversary_loss", "logistic")
        self.tell_apart, self.offset = ADVERSARY_LOSSES[loss]
        self.contrast = objective.get("adaptive_contrast", False)
        self.correlated = objective.get("contrast_correlations", False)
        self.warm_up = objective.get("warm_up", 0.0)

    def make_adversary(self, experiment: dict, shape: Shape, replicas: int) -> nn.Module:
        """T(x, z)."""
        settings = experiment["adversary"]
        kind = ADVERSARIES[settings.get("kind", "inner_product")]
        return kind(replicas, shape, self.model.latent, settings)

    def phases(self) -> list[Phase]:
        return [
            Phase("bound", self.bound_loss, [self.model], self.draw_for_bound),
            Phase("adversary", self.adversary_loss, [self.adversary], self.draw_for_adversary),
        ]

    def together(self) -> Together:
        return Together(self.losses, self.draw_for_both)

    def draw_for_bound(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """The encoder's noise, and, while the log ratio's weight grows, that weight."""
        return *self.draw_noise(batch, streams), *self.draw_weight(batch)

    def draw_for_adversary(self, batch: Batch, streams: Streams) -> tuple[Tensor, Tensor]:
        """The encoder's noise, and for each image what T tells codes from."""
        if not self.contrast:
            return self.draw_noise_and_prior(batch, streams)
        standard = streams.normal(batch.x.shape[1], self.model.latent)
        return *self.draw_noise(batch, streams), standard

    def draw_for_both(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """What the adversary's phase draws, and the log ratio's weight, if it grows."""
        return *self.draw_for_adversary(batch, streams), *self.draw_weight(batch)

    @torch.no_grad()
    def reference(self, x: Tensor) -> DiagonalNormal | CorrelatedNormal:
        """r(z|x) of adaptive contrast: the codes' moments, which take no gradient."""
        if self.correlated:
            return CorrelatedNormal.of_covariance(*self.model.encoder.correlated_moments(x))
        return DiagonalNormal(*self.model.encoder.moments(x))

    def compared(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor | float]:
        """Codes as T sees them (R, ..., B, Z), and log r(z|x) − log p(z), where r is not p."""
        if not self.contrast:
            return z, 0.0
        r = self.reference(x)
        return r.standardised(z), r.log_prob(z) - self.model.log_prior(z)

    def log_ratio(self, x: Tensor, z: Tensor) -> Tensor:
        """The estimate of log q(z|x) − log p(z): (R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        seen, known = self.compared(x, z)
        return self.adversary(x, seen) - self.offset + known

    def bound_loss(self, x: Tensor, noise: Tensor, weight: Tensor | None = None) -> Tensor:
        """E_q[T(x, z) − log p(x|z)], equation 3.7: (R, B, X) -> (R,).

        Args:
            weight: of the log ratio, a number; 1 if absent.
        """
        z = self.model.encoder(x, noise)  # (R, B, Z)
        return self.bound(x, z, self.log_ratio(x, z), weight)

    def bound(self, x: Tensor, z: Tensor, log_ratio: Tensor, weight: Tensor | None) -> Tensor:
        """The same of codes (R, B, Z) and their log ratios (R, B): -> (R,)."""
        if weight is not None:
            log_ratio = weight * log_ratio
        return (log_ratio - self.model.log_likelihood(x, z)).mean(1)

    def adversary_loss(self, x: Tensor, noise: Tensor, contrast: Tensor) -> Tensor:
        """Equation 3.3 or 5.10, of codes and of what T tells them from: (R, B, X) -> (R,)."""
        with torch.no_grad():
            seen, _ = self.compared(x, self.model.encoder(x, noise))
        return self.tell_apart(*self.judged(x, seen, contrast)).mean(1)

    def judged(self, x: Tensor, seen: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
        """T of codes and of what it tells them from, each (R, B, Z): -> two of (R, B)."""
        return self.adversary(x, torch.stack([seen, contrast], 1)).unbind(1)

    def losses(
        self, x: Tensor, noise: Tensor, contrast: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both phases' losses of the same codes: (R, B, X) -> two of (R,)."""
        z = self.model.encoder(x, noise)  # (R, B, Z)
        seen, known = self.compared(x, z)
        t_codes, t_contrast = self.judged(x, seen, contrast)
        bound = self.bound(x, z, t_codes - self.offset + known, weight)
        return bound, self.tell_apart(t_codes, t_contrast).mean(1)
