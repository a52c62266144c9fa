"""Minibatches from data that already lie on the device."""

import torch
from torch import Tensor

from aebayes.methods.base import Batch
from aebayes.streams import Streams


class Batches:
    """Endless minibatches, a different order for every replica.

    The data are gone through in one random order after another; images left over at the end of
    an order wait for no one: the next order begins. A set smaller than a batch is repeated.

    Args:
        x: uint8 images on the device, (N, X).
        labels: their classes, (N,) int64.
        scale: the intensity that means 1.
        size: B.
        binarise: draw each pixel as Bernoulli(intensity), anew each time an image is used.
    """

    def __init__(
        self, x: Tensor, labels: Tensor, scale: int, size: int, binarise: bool, streams: Streams
    ):
        times = -(-size // len(x))
        x, self.labels = x.repeat(times, 1), labels.repeat(times)
        self.x = bernoulli_thresholds(x, scale) if binarise else x.float() / scale
        self.size = size
        self.binarise = binarise
        self.streams = streams
        self.position = len(self.x)  # an order used up: the first batch draws one
        self.order = torch.arange(len(self.x), device=x.device).expand(len(streams), -1)

    def next(self) -> Batch:
        """One minibatch for each replica."""
        if self.position + self.size > len(self.x):
            if len(self.x) > self.size:  # else every batch is the whole set, and order is idle
                self.order = self.streams.permutation(len(self.x))
            self.position = 0
        chosen = self.order[:, self.position : self.position + self.size]
        self.position += self.size
        x = self.x[chosen]  # (R, B, X)
        if self.binarise:
            x = (self.streams.int16(*x.shape[1:]) < x).float()
        return Batch(x, self.labels[chosen])

    def state(self) -> dict[str, Tensor]:
        """What `load_state` needs to go on."""
        return {"order": self.order.contiguous(), "position": torch.tensor(self.position)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from where `state` was taken."""
        self.order = state["order"].to(self.order.device)
        self.position = int(state["position"])


def bernoulli_thresholds(x: Tensor, scale: int) -> Tensor:
    """t with P(u < t) = x / scale for u uniform over int16: one comparison binarises a pixel.

    Sixteen random bits a pixel instead of a float's 32 make the draw a quarter of its cost, and
    err by less than 2⁻¹⁶: an intensity of 1 is drawn as 0 once in 65,536 times.
    """
    return (x.double() / scale * 65536 - 32768).round().clamp(max=32767).to(torch.int16)
