"""Random affine distortions of images, for encoders that shall see past them.

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


class Distortion(nn.Module):
    """Images turned, sheared, zoomed and shifted, each by draws of its own; black beyond the edges.

    Args:
        shape: channels, height and width.
        rotation: at most so many degrees, either way.
        shear: a row moves at most so many pixels for each pixel that it lies off the middle.
        zoom: height and width, each on its own, change by a factor of at most 1 ± zoom.
        shift: at most so many pixels along each axis.
    """

    def __init__(
        self,
        shape: Shape,
        rotation: float = 0.0,
        shear: float = 0.0,
        zoom: float = 0.0,
        shift: float = 0.0,
    ):
        super().__init__()
        self.shape = shape
        _, height, width = shape
        # Along x and y: pixels from an image's middle, and half its sides.
        places = [torch.arange(side) - (side - 1) / 2 for side in (width, height)]
        buffers = {
            "most": torch.tensor([math.radians(rotation), shear, zoom, zoom, shift, shift]),
            "x": places[0],
            "y": places[1],
            "halves": torch.tensor([width / 2, height / 2]),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor, streams: Streams) -> Tensor:
        """Distort every image anew: (R, B, X) -> (R, B, X)."""
        return self.distort(x, self.most * (2 * streams.uniform(x.shape[1], len(self.most)) - 1))

    def distort(self, x: Tensor, by: Tensor) -> Tensor:
        """Turn, shear, zoom, then shift images (R, B, X) by what (R, B, 6) says, in this order.

        A pixel is read, with bilinear weights, from where the inverse of the map puts it.
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
        return grid_sample(images, grid, align_corners=False).view_as(x)


def corrupt(method: Method, objective: dict, shape: Shape) -> None:
    """Let a method's encoder see in training what an experiment's objective makes of images."""
    method.input_noise = objective.get("input_noise", 0.0)
    if "distortion" in objective:
        method.distortion = Distortion(shape, **objective["distortion"])
