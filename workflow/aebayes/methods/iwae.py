"""The importance weighted autoencoder: Burda, Grosse & Salakhutdinov 2015 (arXiv:1509.00519).

One phase, "bound": encoder and decoder together maximise L_k = E log 1/k Σ_i w_i over k samples,
w_i = p(x, z_i)/q(z_i|x) (equation 8). The paper's VAE with k samples is the same with the plain
average, E 1/k Σ_i log w_i. One or two stochastic layers: that is the model's affair.

Where the settings have a phase "pretraining", training begins with the VAE's bound.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from aebayes.methods.base import Batch, Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape
from aebayes.streams import Streams

PARTS = 1 << 40  # that systematic resampling cuts the whole weight into
# Logits (R, K', B, X) of one chunk of samples: 256 MiB as float32; k = 50 at batch 100 takes 15.
CHUNK_ELEMENTS = 1 << 26


class IWAE(Method):
    """Gaussian encoder, decoder, and the bound of k samples between them.

    `objective.gradient` chooses how L_k is differentiated. "standard": as it stands, which is
    Σ_i w̃_i ∇ log w_i (equation 14). "doubly_reparameterised": the encoder's gradient without its
    score (Tucker et al. 2018). `objective.draws` passes gradients through so few of the k samples,
    drawn by their normalised weights w̃; 1 is the variant that the paper's section 3 names.
    `objective.pretraining_samples` is k of the phase before, if there is one.
    """

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        objective = experiment["objective"]
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.samples = objective["samples"]
        self.draws = objective.get("draws")
        self.pretraining_samples = objective.get("pretraining_samples")
        self.doubly = objective.get("gradient") == "doubly_reparameterised"
        if objective["weighting"] == "average":
            self.loss = self.average_loss
        else:
            self.loss = self.weighted_loss if self.doubly or self.draws else self.bound_loss

    def phases(self) -> list[Phase]:
        bound = Phase("bound", self.loss, [self.model], self.draw)
        if not self.pretraining_samples:
            return [bound]
        before = Phase("pretraining", self.average_loss, [self.model], self.draw_for_pretraining)
        return [before, bound]

    def draw_for_pretraining(self, batch: Batch, streams: Streams) -> tuple[Tensor]:
        """Noise for the codes of the VAE's bound: (R, K', B, N)."""
        return (self.model.noise(streams, self.pretraining_samples, batch.x.shape[1]),)

    def draw(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """Noise for k codes an image (R, K, B, N), and u (R, B, 1) where few of them are drawn."""
        images = batch.x.shape[1]
        noise = self.model.noise(streams, self.samples, images)
        return (noise, streams.uniform(images, 1)) if self.draws else (noise,)

    def average_loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """−E 1/k Σ_i log w_i, the VAE's bound, in nats: (R, B, X) -> (R,)."""
        return -in_chunks(self.model.log_weights, x, noise).mean((1, 2))

    def bound_loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """−L_k in nats, equation 8: (R, B, X) -> (R,)."""
        return -log_mean_exp(in_chunks(self.model.log_weights, x, noise)).mean(1)

    def weighted_loss(self, x: Tensor, noise: Tensor, u: Tensor | None = None) -> Tensor:
        """−L_k in nats, its gradient that of Σ_i c_i log w_i with c held: (R, B, X) -> (R,).

        c_i is w̃_i, or 1/m for each of m samples drawn by w̃.
        """
        with torch.no_grad():
            log_weights = in_chunks(self.model.log_weights, x, noise)  # (R, K, B)
            bound = log_mean_exp(log_weights).mean(1)
            normalised = log_weights.softmax(1)
            share = normalised
            if u is not None:
                chosen = systematic(normalised, self.draws, u)  # (R, M, B)
                noise = noise.gather(1, chosen.unsqueeze(-1).expand(-1, -1, -1, noise.shape[-1]))
                normalised = normalised.gather(1, chosen)
                share = 1 / self.draws
        if self.doubly:
            log_weights = in_chunks(self.doubly_log_weights, x, noise, normalised)
        else:
            log_weights = in_chunks(self.model.log_weights, x, noise)
        surrogate = (share * log_weights).sum(1).mean(1)
        return -(bound + (surrogate - surrogate.detach()))

    def doubly_log_weights(self, x: Tensor, noise: Tensor, weights: Tensor) -> Tensor:
        """log w_i, its gradient by the encoder that of equation 8 of Tucker et al. 2018 over w̃_i.

        The encoder's parameters act through z_i alone, and their gradient is scaled by `weights`:
        (R, B, X), (R, K, B, N), (R, K, B) -> (R, K, B).
        """
        q = self.model.encoder.posterior(x)
        z, _ = q.transform(noise)
        fixed = z.detach()
        z = fixed + weights.unsqueeze(-1) * (z - fixed)  # z's value, and so much of its gradient
        return self.model.log_joint(x, z) - q.held().log_prob(z)


def in_chunks(log_weights: Callable[..., Tensor], x: Tensor, *samples: Tensor) -> Tensor:
    """`log_weights(x, *samples)`, (R, K, B), with the memory of one chunk where k is large.

    What a chunk's gradient needs is then computed anew when its turn comes.

    Args:
        samples: what belongs to a sample each, (R, K, B, ...).
    """
    most = max(1, CHUNK_ELEMENTS // x.numel())
    if samples[0].shape[1] <= most:
        return log_weights(x, *samples)
    chunks = zip(*(each.split(most, 1) for each in samples), strict=True)
    settings = {"use_reentrant": False, "preserve_rng_state": False}  # nothing draws in there
    return torch.cat([checkpoint(log_weights, x, *chunk, **settings) for chunk in chunks], 1)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """log 1/k Σ_i w_i of (R, K, B): (R, B)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def systematic(weights: Tensor, draws: int, u: Tensor) -> Tensor:
    """Indices of m of k samples by systematic resampling: (R, K, B), u (R, B, 1) -> (R, M, B).

    Sample i is drawn m·w̃_i times in expectation. Whitley 1994; Douc & Cappé 2005, section 2.4.
    """
    # In integers, whose sums do not depend on their order: a GPU's float cumsum would not repeat.
    parts = (weights.transpose(1, 2).double() * PARTS).round().long()
    cumulative = parts.cumsum(-1).contiguous()  # (R, B, K)
    points = (u.double() + torch.arange(draws, device=u.device)) / draws  # (R, B, M)
    chosen = torch.searchsorted(cumulative, (points * cumulative[..., -1:]).long(), right=True)
    return chosen.clamp(max=weights.shape[1] - 1).transpose(1, 2)
