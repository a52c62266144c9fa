"""What the training loop knows of a method: named phases, each a loss and what it updates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from aebayes.streams import Streams


class Batch(NamedTuple):
    """A minibatch for each replica.

    Attributes:
        x: images in [0, 1], (R, B, X).
        labels: their classes, (R, B) int64; the number of classes stands for an unknown one.
        labelled: beside it, a minibatch of labelled images alone, for a method that has them.
        progress: the share of the training that is done, a number.
    """

    x: Tensor
    labels: Tensor
    labelled: "Batch | None" = None
    progress: Tensor | None = None


Draw = Callable[[Batch, Streams], tuple[Tensor, ...]]
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Phase:
    """One loss and the networks whose parameters it updates.

    All chance is drawn before the loss, which can therefore be compiled or captured. What a loss
    makes of labels comes to it in the same way.

    Args:
        name: as the paper calls it; the key of its optimiser in the config and its column in the
            history.
        loss: (x (R, B, X), *draws) -> (R,), the mean over the batch for each replica; a function
            of its arguments and of parameters alone.
        networks: what its optimiser updates; every other parameter is held.
        draw: (batch, streams) -> draws, the random numbers and labels that the loss takes.
    """

    name: str
    loss: Loss
    networks: Sequence[nn.Module]
    draw: Draw

    def __call__(self, batch: Batch, streams: Streams) -> Tensor:
        """Draw and compute the loss: (R,)."""
        return self.loss(batch.x, *self.draw(batch, streams))

    def parameters(self) -> list[nn.Parameter]:
        """The parameters it updates, in a fixed order."""
        return [parameter for network in self.networks for parameter in network.parameters()]


@dataclass(frozen=True)
class Together:
    """The losses of all phases of one minibatch at once: each before any of them moves a parameter.

    Args:
        losses: (x (R, B, X), *draws) -> a loss (R,) a phase, in their order. What it computes once
            for several may depend on parameters that a phase does not update.
        draw: (batch, streams) -> draws.
    """

    losses: Callable[..., tuple[Tensor, ...]]
    draw: Draw


class Method(nn.Module):
    """A training algorithm: its networks, and its phases in the order of the paper's algorithm.

    A method is made from its experiment's settings, the images' shape and the number of replicas.
    `model` is what evaluation sees; further networks (an adversary) are the method's own.
    `estimates_log_ratio` says that `log_ratio(x, z)` estimates log q(z|x) − log p(z), and
    `takes_labelled` that its phases want minibatches of labelled images beside the others. In the
    share `warm_up` of the training the weight of log q(z|x) − log p(z) grows from 0 to 1;
    `distortion` and noise of deviation `input_noise` come between images and the encoder in
    training; `instance_noise` is, at its start, the deviation of that on what a discriminator sees.
    """

    model: nn.Module
    estimates_log_ratio = False
    takes_labelled = False
    warm_up = 0.0
    input_noise = 0.0
    instance_noise = 0.0

    def __init__(self):
        super().__init__()
        self.distortion: Callable[[Tensor, Streams], Tensor] | None = None

    def phases(self) -> list[Phase]:
        """The phases of one step, in order."""
        raise NotImplementedError

    def together(self) -> Together:
        """The same phases at once, for a method that `training.simultaneous` may ask for it."""
        raise NotImplementedError

    def reconstruction_loss(self, x: Tensor, seen: Tensor, noise: Tensor, *told: Tensor) -> Tensor:
        """−E_q log p(x|z), z the code of what the encoder sees: (R, B, X) -> (R,)."""
        return -self.model.log_likelihood(x, self.model.encoder(seen, noise), *told).mean(1)

    def draw_for_reconstruction(self, batch: Batch, streams: Streams) -> tuple[Tensor, ...]:
        """What the encoder sees, and its noise."""
        return self.draw_seen(batch, streams), *self.draw_noise(batch, streams)

    def draw_seen(self, batch: Batch, streams: Streams) -> Tensor:
        """The images as the encoder sees them in training, (R, B, X): distorted, with noise."""
        x = batch.x if self.distortion is None else self.distortion(batch.x, streams)
        return self.add_input_noise(x, streams)

    def add_input_noise(self, x: Tensor, streams: Streams) -> Tensor:
        """Images (R, B, X) and the noise that the encoder sees on them in training."""
        if not self.input_noise:
            return x
        return x + self.input_noise * streams.normal(*x.shape[1:])

    def draw_noise(self, batch: Batch, streams: Streams) -> tuple[Tensor]:
        """The encoder's noise, for one code an image."""
        return (self.model.noise(streams, batch.x.shape[1]),)

    def draw_instance_noise(self, batch: Batch, streams: Streams) -> Tensor:
        """What is added to codes and draws from the prior that discriminators see, (R, B, C + Z).

        Sønderby et al. 2017 (arXiv:1610.04490), section 4.1: without it a softmax is told from
        one-hot vectors, and any code from a curve, at a glance. It falls to 0 over the training; 0
        itself if there is none.
        """
        if not self.instance_noise:
            return batch.x.new_zeros(())
        scale = self.instance_noise * (1 - batch.progress.to(batch.x.device))
        return scale * streams.normal(batch.x.shape[1], self.model.latent)

    def draw_weight(self, batch: Batch) -> tuple[Tensor, ...]:
        """The weight of the log ratio, a number, where there is a warm-up."""
        if not self.warm_up:
            return ()
        share = (batch.progress / self.warm_up).clamp(max=1)
        return (share.to(batch.x.device),)

    def draw_noise_and_prior(self, batch: Batch, streams: Streams) -> tuple[Tensor, Tensor]:
        """The encoder's noise and one draw from the prior, for each image."""
        prior = self.model.prior.sample(streams, batch.x.shape[1])
        return *self.draw_noise(batch, streams), prior
