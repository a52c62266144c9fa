"""Random affine distortions of images, for encoders that shall see past them.

LeCun et al. 1998 (Gradient-based learning applied to document recognition), section III.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

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
        most = torch.tensor([math.radians(rotation), shear, zoom, zoom, shift, shift])
        self.register_buffer("most", most, persistent=False)
        self.register_buffer("halves", torch.tensor([width / 2, height / 2]), persistent=False)

    def forward(self, x: Tensor, streams: Streams) -> Tensor:
        """Distort every image anew: (R, B, X) -> (R, B, X)."""
        return self.distort(x, self.most * (2 * streams.uniform(x.shape[1], len(self.most)) - 1))

    def distort(self, x: Tensor, by: Tensor) -> Tensor:
        """Turn, shear, zoom, then shift images (R, B, X) by what (R, B, 6) says, in this order.

        A pixel is read, with bilinear weights, from where the inverse of the map puts it.
        """
        images = x.reshape(-1, *self.shape)
        angle, shear, across, along, *shift = by.flatten(0, 1).unbind(-1)
        cos, sin = angle.cos(), angle.sin()
        # Pixels about the middle, x then y: the inverses of the zoom, of the shear, of the turn.
        columns = [
            torch.stack([cos, -sin], -1) / (1 + across)[:, None],
            torch.stack([sin - cos * shear, cos + sin * shear], -1) / (1 + along)[:, None],
        ]
        inverse = torch.stack(columns, -1)  # (R B, 2, 2)
        origin = -inverse @ torch.stack(shift, -1)[..., None]
        # Coordinates of affine_grid run from -1 to 1 over either side.
        theta = torch.cat([inverse * self.halves, origin], -1) / self.halves[:, None]
        grid = affine_grid(theta, list(images.shape), align_corners=False)
        return grid_sample(images, grid, align_corners=False).view_as(x)
