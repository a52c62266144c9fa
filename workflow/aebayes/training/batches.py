"""Minibatches from data on the device, or, on a CPU, in a file: 8 bits a pixel, 16 if binarised."""

import torch
from torch import Tensor

from aebayes.methods.base import Batch
from aebayes.streams import Streams


class Order:
    """Endless draws of `size` of n things, a different order for every replica.

    All are gone through in one random order after another; those left over at the end of an order
    wait for no one: the next order begins.
    """

    def __init__(self, n: int, size: int, streams: Streams):
        self.n, self.size = n, size
        self.streams = streams
        self.position = n  # an order used up: the first draw makes one
        self.order = torch.arange(n, device=streams.device).expand(len(streams), -1)

    def next(self) -> Tensor:
        """Some of 0 … n − 1: (R, size)."""
        if self.position + self.size > self.n:
            if self.n > self.size:  # else every draw is the whole set, and order is idle
                self.order = self.streams.permutation(self.n)
            self.position = 0
        chosen = self.order[:, self.position : self.position + self.size]
        self.position += self.size
        return chosen

    def state(self, prefix: str) -> dict[str, Tensor]:
        """What `load_state` needs to go on."""
        return {
            f"{prefix}order": self.order.contiguous(),
            f"{prefix}position": torch.tensor(self.position),
        }

    def load_state(self, state: dict[str, Tensor], prefix: str) -> None:
        """Go on from where `state` was taken."""
        self.order = state[f"{prefix}order"].to(self.order.device)
        self.position = int(state[f"{prefix}position"])


class Batches:
    """Endless minibatches, a different order for every replica.

    A set smaller than a batch is repeated. Where some images are named as labelled, each minibatch
    brings one of those with it, of all of them if they are fewer than a batch.

    Args:
        x: uint8 images on the device, (N, X).
        labels: their classes, for every replica (N,) or its own (R, N), int64.
        scale: the intensity that means 1.
        size: B.
        binarise: draw each pixel as Bernoulli(intensity), anew each time an image is used.
        labelled: the labelled images of each replica, (R, L), if any are named.
    """

    def __init__(
        self,
        x: Tensor,
        labels: Tensor,
        scale: int,
        size: int,
        binarise: bool,
        streams: Streams,
        labelled: Tensor | None = None,
    ):
        times = -(-size // len(x))
        x = x.repeat(times, 1) if times > 1 else x  # which would copy it
        self.labels = labels.expand(len(streams), -1).repeat(1, times)  # (R, N)
        self.x = bernoulli_thresholds(x, scale) if binarise else x
        self.scale = scale
        self.binarise = binarise
        self.streams = streams
        self.order = Order(len(self.x), size, streams)
        self.labelled = labelled
        if labelled is not None:
            self.labelled_order = Order(labelled.shape[1], min(size, labelled.shape[1]), streams)

    def next(self) -> Batch:
        """One minibatch for each replica."""
        x, labels = self.images(self.order.next())
        if self.labelled is None:
            return Batch(x, labels)
        known = self.labelled.gather(1, self.labelled_order.next())
        return Batch(x, labels, Batch(*self.images(known)))

    def images(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Images (R, B, X) and labels (R, B) of given numbers (R, B)."""
        x = self.x[chosen]
        if self.binarise:
            x = (self.streams.int16(*x.shape[1:]) < x).float()
        else:
            x = x.float() / self.scale
        return x, self.labels.gather(1, chosen)

    def state(self) -> dict[str, Tensor]:
        """What `load_state` needs to go on."""
        state = self.order.state("")
        if self.labelled is not None:
            state |= self.labelled_order.state("labelled_")
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from where `state` was taken."""
        self.order.load_state(state, "")
        if self.labelled is not None:
            self.labelled_order.load_state(state, "labelled_")


def bernoulli_thresholds(x: Tensor, scale: int) -> Tensor:
    """t with P(u < t) = x / scale for u uniform over int16: one comparison binarises a pixel.

    Sixteen random bits a pixel instead of a float's 32 make the draw a quarter of its cost, and
    err by less than 2⁻¹⁶: an intensity of 1 is drawn as 0 once in 65,536 times.
    """
    return (x.double() / scale * 65536 - 32768).round().clamp(max=32767).to(torch.int16)
