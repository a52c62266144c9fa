"""p(z): normal, uniform, the AAE's with classes, IWAE's two layers, and a learned one.

A prior with classes can be drawn from class by class, as the AAE's section 2.3 needs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from aebayes.networks.layers import MLP
from aebayes.networks.normal import DiagonalNormal, log_standard_normal
from aebayes.streams import Streams


class Normal(nn.Module):
    """p(z) = N(0, sd² I)."""

    has_density = True

    def __init__(self, latent: int, sd: float = 1.0):
        super().__init__()
        self.latent = latent
        self.sd = sd

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (R, ..., Z) -> (R, ...)."""
        return log_standard_normal(z / self.sd) - self.latent * math.log(self.sd)

    def transform(self, noise: Tensor) -> Tensor:
        """The draw that standard normal noise makes: (R, ..., Z) -> (R, ..., Z)."""
        return self.sd * noise

    def noise_of(self, z: Tensor) -> Tensor:
        """The inverse of `transform`."""
        return z / self.sd

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws: (R, *shape, Z)."""
        return self.transform(streams.normal(*shape, self.latent))

    def axis(self, side: int) -> Tensor:
        """Points along an axis at which an image is shown, its quantiles: (side,)."""
        return self.sd * torch.special.ndtri((torch.arange(side) + 0.5) / side)


class Uniform(nn.Module):
    """p(z) uniform over a cube, from −half_width to half_width along each axis."""

    has_density = True

    def __init__(self, latent: int, half_width: float):
        super().__init__()
        self.latent = latent
        self.half_width = half_width

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, −inf outside: (R, ..., Z) -> (R, ...)."""
        inside = (z.abs() <= self.half_width).all(-1)
        density = -self.latent * math.log(2 * self.half_width)
        return torch.where(inside, density, -torch.inf)

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws: (R, *shape, Z)."""
        return self.half_width * (2 * streams.uniform(*shape, self.latent) - 1)

    def axis(self, side: int) -> Tensor:
        """Points along an axis at which an image is shown, its quantiles: (side,)."""
        return self.half_width * (2 * (torch.arange(side) + 0.5) / side - 1)


class ClassPrior(nn.Module):
    """A prior that is made of as many equally likely parts as there are classes."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws: (R, *shape, Z)."""
        return self.sample_class(streams.classes(self.classes, *shape), streams)

    def sample_known(self, labels: Tensor, streams: Streams) -> Tensor:
        """As `sample_class`; where a label is `classes`, unknown, from the whole."""
        anyone = streams.classes(self.classes, *labels.shape[1:])
        return self.sample_class(torch.where(labels < self.classes, labels, anyone), streams)

    def sample_class(self, labels: Tensor, streams: Streams) -> Tensor:
        """A draw from the part of each label, 0 … classes − 1: (R, ...) -> (R, ..., Z)."""
        raise NotImplementedError


class PlanePrior(ClassPrior):
    """Such a prior over the plane."""

    latent = 2

    def extent(self) -> float:
        """How far from the origin its mass reaches."""
        raise NotImplementedError

    def axis(self, side: int) -> Tensor:
        """Points along an axis at which an image is shown, over its extent: (side,)."""
        return torch.linspace(-self.extent(), self.extent(), side)

    def walk(self, side: int) -> Tensor:
        """Points along the main axis of each class's part: (classes, side, 2)."""
        raise NotImplementedError


class Petals(PlanePrior):
    """An even mixture of 2-D Gaussians around the origin, each elongated towards it.

    Makhzani et al. 2015, section 2.3 and figure 4A, which shows ten; it does not give their sizes.

    Args:
        radius: distance of the means from the origin.
        along: standard deviation in the direction of the radius.
        across: and at right angles to it.
    """

    has_density = True

    def __init__(self, classes: int, radius: float, along: float, across: float):
        super().__init__(classes)
        self.radius, self.along, self.across = radius, along, across

    def extent(self) -> float:
        """Two deviations beyond the means: how far from the origin its mass reaches."""
        return self.radius + 2 * self.along

    def walk(self, side: int) -> Tensor:
        """From two deviations nearer to the origin than the mean to two farther."""
        radial = self.radius + self.along * torch.linspace(-2, 2, side)
        return radial[:, None] * self.axes(radial.device)[0][:, None]

    def axes(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Unit vectors along and across each class's radius: two of (classes, 2)."""
        angles = torch.arange(self.classes, device=device) * (2 * math.pi / self.classes)
        along = torch.stack([angles.cos(), angles.sin()], -1)
        return along, torch.stack([-along[:, 1], along[:, 0]], -1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (R, ..., 2) -> (R, ...)."""
        along, across = self.axes(z.device)
        at = torch.stack(
            [(z @ along.mT - self.radius) / self.along, z @ across.mT / self.across], -1
        )  # (R, ..., classes, 2)
        component = log_standard_normal(at) - math.log(self.along * self.across)
        return component.logsumexp(-1) - math.log(self.classes)

    def sample_class(self, labels: Tensor, streams: Streams) -> Tensor:
        """A draw from the Gaussian of each label: (R, ...) -> (R, ..., 2)."""
        along, across = self.axes(labels.device)
        noise = streams.normal(*labels.shape[1:], 2)
        radial = self.radius + self.along * noise[..., :1]
        return radial * along[labels] + self.across * noise[..., 1:] * across[labels]


class SwissRoll(PlanePrior):
    """A spiral from the origin out, class after class along it. A curve: it has no density.

    Makhzani et al. 2015, section 2.3 and figure 4B. At the share t of the way to the rim, squared,
    radius and angle are √t of their last: nearly uniform along the curve's length.

    Args:
        radius: of the rim.
        turns: around the origin, from there to the rim.
    """

    has_density = False

    def __init__(self, classes: int, radius: float, turns: float):
        super().__init__(classes)
        self.radius, self.turns = radius, turns

    def extent(self) -> float:
        """Its rim: how far from the origin its mass reaches."""
        return self.radius

    def walk(self, side: int) -> Tensor:
        """Outwards along the roll, at even shares of each class's stretch."""
        shares = (torch.arange(side) + 0.5) / side
        return self.curve((torch.arange(self.classes)[:, None] + shares) / self.classes)

    def curve(self, t: Tensor) -> Tensor:
        """Points of the roll: t in [0, 1] (...) -> (..., 2)."""
        way = t.sqrt()
        angle = 2 * math.pi * self.turns * way
        return self.radius * way.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1)

    def sample_class(self, labels: Tensor, streams: Streams) -> Tensor:
        """A draw from the stretch of each label: (R, ...) -> (R, ..., 2)."""
        return self.curve((labels + streams.uniform(*labels.shape[1:])) / self.classes)


class Categorical(ClassPrior):
    """One of Z classes, all equally likely, as its one-hot vector. Makhzani et al. 2015, section 4.

    Its mass lies on points: `log_prob` is of a probability, and it has no density.
    """

    has_density = False

    def __init__(self, latent: int):
        super().__init__(latent)
        self.latent = latent

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z) in nats, −inf where z is no one-hot vector: (R, ..., Z) -> (R, ...)."""
        vertex = ((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)
        return torch.where(vertex, -math.log(self.classes), -torch.inf)

    def sample_class(self, labels: Tensor, streams: Streams) -> Tensor:
        """The vector of each label: (R, ...) -> (R, ..., Z)."""
        return one_hot(labels, self.classes).float()

    def axis(self, side: int) -> Tensor:
        """Points along an axis at which an image is shown: (side,)."""
        return torch.linspace(0, 1, side)


class ClassAndStyle(ClassPrior):
    """p(y) p(z): a class, all equally likely, as a one-hot vector, and a style from N(0, I).

    Makhzani et al. 2015, section 4; Kingma et al. 2014, equation 2. Codes are (y, z), one after the
    other.

    Args:
        style: units of z.
    """

    has_density = False

    def __init__(self, classes: int, style: int):
        super().__init__(classes)
        self.category, self.style = Categorical(classes), Normal(style)
        self.latent = classes + style

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """y and z of a code: (R, ..., C + Z) -> (R, ..., C), (R, ..., Z)."""
        return z[..., : self.classes], z[..., self.classes :]

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(y) p(z) in nats, −inf where y is no one-hot vector: (R, ..., C + Z) -> (R, ...)."""
        y, style = self.parts(z)
        return self.category.log_prob(y) + self.style.log_prob(style)

    def sample_class(self, labels: Tensor, streams: Streams) -> Tensor:
        """A draw of each label: (R, ...) -> (R, ..., C + Z)."""
        style = self.style.sample(streams, *labels.shape[1:])
        return torch.cat([self.category.sample_class(labels, streams), style], -1)


class TwoLayerPrior(nn.Module):
    """p(z2) p(z1|z2), the first standard, both normal; codes are (z1, z2), one after the other.

    Burda et al. 2015, section 5, two stochastic layers.
    """

    has_density = True

    def __init__(self, replicas: int, latent: list[int], settings: dict):
        super().__init__()
        self.z1, self.z2 = latent
        self.latent = self.z1 + self.z2
        sizes = [self.z2, *settings["hidden"], 2 * self.z1]
        self.network = MLP(replicas, sizes, settings["activation"])

    def lower(self, z2: Tensor) -> DiagonalNormal:
        """p(z1|z2): (R, ..., Z2)."""
        return DiagonalNormal(*self.network(z2).float().chunk(2, -1))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z1, z2) in nats: (R, ..., Z1 + Z2) -> (R, ...)."""
        z1, z2 = z.split([self.z1, self.z2], -1)
        return self.lower(z2).log_prob(z1) + log_standard_normal(z2)

    def transform(self, noise: Tensor) -> Tensor:
        """The draw that standard normal noise makes: (R, ..., Z1 + Z2) -> the same."""
        noise_1, z2 = noise.split([self.z1, self.z2], -1)
        z1, _ = self.lower(z2).transform(noise_1)
        return torch.cat([z1, z2], -1)

    def noise_of(self, z: Tensor) -> Tensor:
        """The inverse of `transform`."""
        z1, z2 = z.split([self.z1, self.z2], -1)
        lower = self.lower(z2)
        return torch.cat([(z1 - lower.mean) * (-lower.log_sd).exp(), z2], -1)

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws, z2 first: (R, *shape, Z1 + Z2)."""
        z2 = streams.normal(*shape, self.z2)
        noise_1 = streams.normal(*shape, self.z1)
        return self.transform(torch.cat([noise_1, z2], -1))


class LearnedPrior(nn.Module):
    """z = f(h), h uniform over a cube: whatever codes a network makes, with no known density.

    Li, Swersky & Zemel 2015, section 4.1: the network that generates an autoencoder's codes.
    """

    has_density = False

    def __init__(self, replicas: int, latent: int, settings: dict):
        super().__init__()
        self.latent = latent
        self.source = Uniform(settings["noise"], 1.0)
        sizes = [settings["noise"], *settings["hidden"], latent]
        self.network = MLP(replicas, sizes, settings["activation"])

    def forward(self, h: Tensor) -> Tensor:
        """Codes in [0, 1], as an encoder's with `code: sigmoid`: (R, ..., H) -> (R, ..., Z)."""
        return torch.sigmoid(self.network(h).float())

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """Draws: (R, *shape, Z)."""
        return self(self.source.sample(streams, *shape))

    def axis(self, side: int) -> Tensor:
        """Points along an axis at which an image is shown: (side,)."""
        return (torch.arange(side) + 0.5) / side


SHAPES = {
    "normal": Normal,
    "uniform": Uniform,
    "petals": Petals,
    "swiss_roll": SwissRoll,
    "categorical": Categorical,
}


def make_prior(latent: int | list[int], settings: dict | None, replicas: int) -> nn.Module:
    """The prior of an experiment's `model.prior`; the standard normal if it says nothing."""
    if isinstance(latent, list):
        return TwoLayerPrior(replicas, latent, settings)
    options = dict(settings or {"kind": "normal"})
    if options["kind"] == "learned":
        return LearnedPrior(replicas, latent, settings)
    shape = SHAPES[options.pop("kind")]
    return shape(**options) if issubclass(shape, PlanePrior) else shape(latent, **options)
