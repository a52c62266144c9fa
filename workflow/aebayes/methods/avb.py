"""Adversarial Variational Bayes: Mescheder, Nowozin & Geiger 2017 (arXiv:1701.04722), Algorithm 1.

Two phases. "adversary": T(x, z) learns to tell pairs of data and codes from pairs of data and
prior samples; at its optimum T* = log q(z|x) − log p(z) (Proposition 1). "bound": encoder and
decoder maximise the ELBO with T in the place of that log ratio, and T's own dependence on the
encoder is left out of the gradient, since its expectation is zero (Proposition 2).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from aebayes.methods.base import Method, Phase
from aebayes.networks.adversaries import JointAdversary
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape


class AVB(Method):
    """Black-box encoder, decoder, and the adversary T(x, z)."""

    estimates_log_ratio = True

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.adversary = self.make_adversary(experiment, shape, replicas)

    def make_adversary(self, experiment: dict, shape: Shape, replicas: int) -> nn.Module:
        """T(x, z)."""
        return JointAdversary(replicas, shape, self.model.latent, experiment["adversary"])

    def phases(self) -> list[Phase]:
        return [
            Phase("bound", self.bound_loss, [self.model], self.draw_noise),
            Phase("adversary", self.adversary_loss, [self.adversary], self.draw_noise_and_prior),
        ]

    def bound_loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """E_q[T(x, z) − log p(x|z)], equation 3.7: (R, B, X) -> (R,)."""
        z = self.model.encoder(x, noise)  # (R, B, Z)
        return (self.adversary(x, z) - self.model.log_likelihood(x, z)).mean(1)

    def adversary_loss(self, x: Tensor, noise: Tensor, prior: Tensor) -> Tensor:
        """−E_q log σ(T(x, z)) − E_p log(1 − σ(T(x, z))), equation 3.3: (R, B, X) -> (R,)."""
        with torch.no_grad():
            codes = self.model.encoder(x, noise)  # (R, B, Z)
        t_codes, t_prior = self.adversary(x, torch.stack([codes, prior], 1)).unbind(1)
        return (softplus(-t_codes) + softplus(t_prior)).mean(1)
