"""Random distortions of images, affine and elastic, for encoders that shall see past them.

Simard, Steinkraus & Platt 2003 (Best practices for convolutional neural networks applied to visual
document analysis), section 2.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from aebayes.methods.base import Method
from aebayes.networks.convolutions import Shape
from aebayes.streams import Streams

SMOOTH = 4.0  # pixels: the paper's deviation of the window that smooths an elastic distortion


class Distortion(nn.Module):
    """Images bent, turned, sheared, zoomed and shifted, each anew; black beyond the edges.

    Args:
        shape: channels, height and width.
        rotation: at most so many degrees, either way.
        shear: a row moves at most so many pixels for each pixel that it lies off the middle.
        zoom: height and width, each on its own, change by a factor of at most 1 ± zoom.
        shift: at most so many pixels along each axis.
        elastic: each pixel moves along each axis by a smooth field of Gaussian noise of this
            deviation in pixels (the paper's α = 34 makes about 1.4).
    """

    def __init__(
        self,
        shape: Shape,
        rotation: float = 0.0,
        shear: float = 0.0,
        zoom: float = 0.0,
        shift: float = 0.0,
        elastic: float = 0.0,
    ):
        super().__init__()
        self.shape = shape
        self.elastic = elastic
        _, height, width = shape
        # Along x and y: pixels from an image's middle, and half its sides.
        places = [torch.arange(side) - (side - 1) / 2 for side in (width, height)]
        buffers = {
            "most": torch.tensor([math.radians(rotation), shear, zoom, zoom, shift, shift]),
            "x": places[0],
            "y": places[1],
            "halves": torch.tensor([width / 2, height / 2]),
            "across": smooth_noise(width, SMOOTH),
            "along": smooth_noise(height, SMOOTH),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor, streams: Streams) -> Tensor:
        """Distort every image anew: (R, B, X) -> (R, B, X)."""
        count = x.shape[1]
        by = self.most * (2 * streams.uniform(count, len(self.most)) - 1)
        return self.distort(x, by, self.bend(count, streams) if self.elastic else None)

    def bend(self, count: int, streams: Streams) -> Tensor:
        """Smooth displacements of every pixel along x and y: (R, B, 2, H, W), in pixels."""
        noise = streams.normal(count, 2, self.along.shape[1], self.across.shape[1])
        return self.elastic * (self.along @ noise @ self.across.mT)

    def distort(self, x: Tensor, by: Tensor, bend: Tensor | None = None) -> Tensor:
        """Bend, turn, shear, zoom, then shift images (R, B, X), in this order.

        A pixel is read, with bilinear weights, from where the inverse of the map puts it.

        Args:
            by: turn, shear, two zooms and two shifts (R, B, 6).
            bend: how far from its place before all that a pixel is read: (R, B, 2, H, W).
        """
        images = x.reshape(-1, *self.shape)
        angle, shear, wider, higher, right, down = by.flatten(0, 1).unbind(-1)
        cos, sin = angle.cos(), angle.sin()
        # How far a step along x, and one along y, leads: the zoom's, shear's and turn's inverse.
        along_x = torch.stack([cos, -sin], -1) / (1 + wider)[:, None]  # (R B, 2)
        along_y = torch.stack([sin - cos * shear, cos + sin * shear], -1) / (1 + higher)[:, None]
        # grid_sample's coordinates run from -1 to 1 over either side.
        along_x, along_y = along_x / self.halves, along_y / self.halves
        row = (self.x - right[:, None])[..., None] * along_x[:, None]  # (R B, W, 2)
        column = (self.y - down[:, None])[..., None] * along_y[:, None]  # (R B, H, 2)
        grid = row[:, None] + column[:, :, None]
        if bend is not None:
            grid = grid + bend.flatten(0, 1).movedim(1, -1) / self.halves
        return grid_sample(images, grid, align_corners=False).view_as(x)


def smooth_noise(side: int, deviation: float) -> Tensor:
    """What makes N independent N(0, 1) draws noise of variance 1, smooth along a side: (side, N).

    It is correlated as white noise under a Gaussian window of that deviation, to 0.03: by its
    Karhunen–Loève expansion, without components of under a hundredth of the greatest's variance.
    """
    places = torch.arange(side, dtype=torch.float64)
    covariance = (-(((places[:, None] - places) / (2 * deviation)) ** 2)).exp()
    variances, components = torch.linalg.eigh(covariance)
    kept = variances > variances[-1] / 100
    columns = components[:, kept] * variances[kept].sqrt()
    return (columns / columns.norm(dim=1, keepdim=True)).float()


def corrupt(method: Method, objective: dict, shape: Shape) -> None:
    """Let a method's encoder see in training what an experiment's objective makes of images."""
    method.input_noise = objective.get("input_noise", 0.0)
    if "distortion" in objective:
        method.distortion = Distortion(shape, **objective["distortion"])
