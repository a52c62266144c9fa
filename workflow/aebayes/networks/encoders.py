"""q(z|x): Gaussian, in two layers, by a flow or an auxiliary, noise-fed, a point, with a class.

Each is a map from images and noise to codes. `has_weights` says that its `posterior` gives what a
code that noise makes is weighed by, `has_density` that this is log q(z|x), known at any code, and
`has_mean` that q(z|x)'s mean is known in closed form, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from aebayes.networks.convolutions import Shape, make_reader
from aebayes.networks.flows import Flow, FlowPosterior
from aebayes.networks.layers import ACTIVATIONS, MLP, Linear
from aebayes.networks.normal import DiagonalNormal, aligned

MOMENT_POINTS = 256
LEAST_VARIANCE = 1e-12


class GaussianEncoder(nn.Module):
    """q(z|x) = N(z; μ(x), σ(x)²), σ = exp(linear). Kingma & Welling 2013, section 3."""

    has_density = True
    has_mean = True
    has_weights = True

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.noise = latent
        self.network = make_reader(replicas, shape, 2 * latent, settings)

    def moments(self, x: Tensor, hold: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation: (R, ..., B, X) -> two of (R, ..., B, Z)."""
        mean, log_sd = self.network(x, hold).float().chunk(2, -1)
        return mean, log_sd

    def posterior(self, x: Tensor, hold: bool = False) -> DiagonalNormal:
        """q(z|x) of images (R, ..., B, X); with `hold` its parameters take no gradient."""
        return DiagonalNormal(*self.moments(x, hold))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Codes, reparameterised: (R, B, X), (R, ..., B, Z) -> (R, ..., B, Z)."""
        return self.posterior(x).transform(noise)[0]


class FlowEncoder(nn.Module):
    """q(z|x) by inverse autoregressive flow: Kingma et al. 2016 (arXiv:1606.04934).

    Args:
        settings: `flows`, how many steps; `flow_hidden`, hidden layers of each; `context`, how many
            numbers say to them what the image is.
    """

    has_density = True
    has_mean = False
    has_weights = True

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.noise, context = latent, settings["context"]
        self.sizes = latent, latent, context
        self.network = make_reader(replicas, shape, sum(self.sizes), settings)
        self.flows = nn.ModuleList(
            Flow(replicas, latent, context, settings["flow_hidden"], settings["activation"])
            for _ in range(settings["flows"])
        )

    def posterior(self, x: Tensor) -> FlowPosterior:
        """q(z|x) of images (R, B, X)."""
        mean, log_sd, context = self.network(x).float().split(self.sizes, -1)
        return FlowPosterior(DiagonalNormal(mean, log_sd), context, self.flows)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Codes, reparameterised: (R, B, X), (R, ..., B, Z) -> (R, ..., B, Z)."""
        return self.posterior(x).transform(noise)[0]


class BasisNoiseEncoder(nn.Module):
    """z = z₀(x) + Σ_i a_i(x) v_i(ε_i), ε_i ~ N(0, I): a black box whose moments are known.

    The published version of AVB, section 3.4 ("adaptive contrast"): v_i does not depend on x, so
    that the moments of q(z|x) are those of z₀, a and the v_i alone. The latter are averages over
    fixed noise, the same for all images.

    Args:
        settings: `basis`, the number of v_i; `noise`, dimensions of each ε_i; `basis_hidden`,
            hidden layers of each v_i.
    """

    has_density = False
    has_weights = False

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.basis, self.each = settings["basis"], settings["noise"]
        self.noise = self.basis * self.each
        self.latent = latent
        outputs = (1 + self.basis) * latent
        self.network = make_reader(replicas, shape, outputs, settings)
        sizes = [self.each, *settings["basis_hidden"], latent]
        # The v_i side by side: each has weights of its own, as replicas have.
        self.of_noise = MLP(replicas * self.basis, sizes, settings["activation"])
        points = torch.quasirandom.SobolEngine(self.each, scramble=True, seed=0).draw(MOMENT_POINTS)
        self.register_buffer("points", torch.special.ndtri(points.clamp(1e-6, 1 - 1e-6)))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z₀ and a: (R, B, X) -> (R, B, Z), (R, B, M, Z)."""
        out = self.network(x).float().unflatten(-1, (1 + self.basis, self.latent))
        return out[..., 0, :], out[..., 1:, :]

    def features(self, noise: Tensor) -> Tensor:
        """v_i(ε_i): (R, ..., M N) -> (R, ..., M, Z)."""
        rows = noise.unflatten(-1, (self.basis, self.each)).flatten(1, -3)  # (R, B', M, N)
        stacked = rows.transpose(1, 2).flatten(0, 1)  # (R M, B', N)
        v = self.of_noise(stacked).float().unflatten(0, (-1, self.basis)).transpose(1, 2)
        return v.unflatten(1, noise.shape[1:-1])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """z(x, ε): (R, B, X), (R, ..., B, M N) -> (R, ..., B, Z)."""
        start, scales = self.parts(x)
        v = self.features(noise)  # (R, ..., B, M, Z)
        return aligned(start, v[..., 0, :]) + (aligned(scales, v) * v).sum(-2)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z|x) along each axis: (R, B, X) -> two (R, B, Z)."""
        start, scales = self.parts(x)
        variance, mean = torch.var_mean(self.features_at_points(len(x)), 1)  # (R, M, Z)
        mean, variance = mean.unsqueeze(1), variance.unsqueeze(1)
        total = (scales.square() * variance).sum(-2)
        return start + (scales * mean).sum(-2), 0.5 * (total + LEAST_VARIANCE).log()

    def correlated_moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of q(z|x): (R, B, X) -> (R, B, Z), (R, B, Z, Z)."""
        start, scales = self.parts(x)
        v = self.features_at_points(len(x))  # (R, P, M, Z)
        mean = v.mean(1)
        v = v - mean.unsqueeze(1)
        # Not matrix products, which bfloat16 would round until they are no covariances.
        of_features = (v.unsqueeze(-1) * v.unsqueeze(-2)).sum(1) / (MOMENT_POINTS - 1)
        pairs = scales.unsqueeze(-1) * scales.unsqueeze(-2)  # (R, B, M, Z, Z)
        least = LEAST_VARIANCE * torch.eye(self.latent, device=x.device)
        covariance = (pairs * of_features.unsqueeze(1)).sum(-3) + least
        return start + (scales * mean.unsqueeze(1)).sum(-2), covariance

    def features_at_points(self, replicas: int) -> Tensor:
        """v_i at the fixed noise that stands for all: (R, P, M, Z)."""
        return self.features(self.points.repeat(1, self.basis).expand(replicas, -1, -1))


CODES: dict[str, Callable[[Tensor], Tensor]] = {"linear": lambda z: z, "sigmoid": torch.sigmoid}


@dataclass(frozen=True)
class TwoLayerPosterior:
    """q(z1|x) q(z2|z1) for given images; codes are (z1, z2), one after the other.

    Args:
        first: q(z1|x).
        encoder: of z2 from z1.
        hold: its parameters take no gradient.
    """

    first: DiagonalNormal
    encoder: GaussianEncoder
    hold: bool = False

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z(ε) and log q(z|x): (R, ..., B, Z1 + Z2) -> the same, and (R, ..., B)."""
        noise_1, noise_2 = self.split(noise)
        z1, log_q1 = self.first.transform(noise_1)
        z2, log_q2 = self.encoder.posterior(z1, self.hold).transform(noise_2)
        return torch.cat([z1, z2], -1), log_q1 + log_q2

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x): (R, ..., B, Z1 + Z2) -> (R, ..., B)."""
        z1, z2 = self.split(z)
        return self.first.log_prob(z1) + self.encoder.posterior(z1, self.hold).log_prob(z2)

    def means(self, noise: Tensor) -> list[Tensor]:
        """E_q[z1], and E_q[z2] given the sample of z1 that `noise` (R, B, Z1 + Z2) makes."""
        z1, _ = self.first.transform(self.split(noise)[0])
        return [self.first.mean, self.encoder.posterior(z1, self.hold).mean]

    def held(self) -> "TwoLayerPosterior":
        """The same density, whose parameters take no gradient."""
        return TwoLayerPosterior(self.first.held(), self.encoder, True)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z1 and z2, or their noise."""
        return z.split([self.first.mean.shape[-1], self.encoder.noise], -1)


class TwoLayerEncoder(nn.Module):
    """q(z1|x) q(z2|z1), both Gaussian. Burda et al. 2015, section 5, two stochastic layers."""

    has_density = True
    has_mean = True
    has_weights = True

    def __init__(self, replicas: int, shape: Shape, latent: list[int], settings: dict):
        super().__init__()
        z1, z2 = latent
        self.first = GaussianEncoder(replicas, shape, z1, settings)
        self.second = GaussianEncoder(replicas, (z1,), z2, settings["second"])
        self.noise = self.first.noise + self.second.noise

    def posterior(self, x: Tensor) -> TwoLayerPosterior:
        """q(z1, z2|x) of images (R, B, X)."""
        return TwoLayerPosterior(self.first.posterior(x), self.second)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Codes, reparameterised: (R, B, X), (R, ..., B, Z1 + Z2) -> (R, ..., B, Z1 + Z2)."""
        return self.posterior(x).transform(noise)[0]


@dataclass(frozen=True)
class AuxiliaryPosterior:
    """q(a, z|x) for given images, of which codes are z alone.

    Args:
        x: the images, (R, B, X).
        encoder: which has the three densities.
    """

    x: Tensor
    encoder: "AuxiliaryEncoder"

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z(ε) and log q(a, z|x) − log r(a|z, x): (R, ..., B, N) -> (R, ..., B, Z), (R, ..., B).

        The latter takes log q(z|x)'s place: L_k bounds log p(x) with it as well, for k = 1 by
        E_q(z|x) KL(q(a|z, x) ‖ r(a|z, x)) less tightly.
        """
        a, z, log_q = self.draw(noise)
        return z, log_q - self.encoder.guess(self.x, z).log_prob(a)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a, z and log q(a, z|x): (R, ..., B, A + Z) -> of A, of Z, and (R, ..., B)."""
        noise_a, noise_z = noise.split([self.encoder.auxiliary, self.encoder.latent], -1)
        a, log_q_a = self.encoder.first(self.x).transform(noise_a)
        z, log_q_z = self.encoder.second(self.x, a).transform(noise_z)
        return a, z, log_q_a + log_q_z


class AuxiliaryEncoder(nn.Module):
    """q(z|x) = ∫ q(a|x) q(z|a, x) da, both Gaussian: no Gaussian, and no density that is known.

    Maaløe, Sønderby, Sønderby & Winther 2016 (arXiv:1602.05473), section 2; Ranganath, Tran & Blei
    2016 (arXiv:1511.02386). Beside it there is r(a|z, x), Gaussian too, which guesses from a code
    and its image what a was: the former's generative p(a|z, x), the latter's auxiliary r.

    Args:
        settings: `auxiliary`, units of a; each of the three nets has all of `hidden`, and takes a,
            or z, into each hidden layer by a projection of its own.
    """

    has_density = False
    has_weights = True

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.auxiliary, self.latent = settings["auxiliary"], latent
        self.noise = self.auxiliary + latent
        self.of_image = make_reader(replicas, shape, 2 * self.auxiliary, settings)
        self.of_auxiliary = make_reader(replicas, shape, 2 * latent, settings, self.auxiliary)
        self.of_code = make_reader(replicas, shape, 2 * self.auxiliary, settings, latent)

    def first(self, x: Tensor) -> DiagonalNormal:
        """q(a|x) of images (R, B, X)."""
        return DiagonalNormal(*self.of_image(x).float().chunk(2, -1))

    def second(self, x: Tensor, a: Tensor) -> DiagonalNormal:
        """q(z|a, x): (R, B, X), (R, ..., B, A) -> moments (R, ..., B, Z)."""
        return DiagonalNormal(*self.of_auxiliary(aligned(x, a), side=a).float().chunk(2, -1))

    def guess(self, x: Tensor, z: Tensor) -> DiagonalNormal:
        """r(a|z, x): (R, B, X), (R, ..., B, Z) -> moments (R, ..., B, A)."""
        return DiagonalNormal(*self.of_code(aligned(x, z), side=z).float().chunk(2, -1))

    def posterior(self, x: Tensor) -> AuxiliaryPosterior:
        """q(a, z|x) of images (R, B, X)."""
        return AuxiliaryPosterior(x, self)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Codes, reparameterised: (R, B, X), (R, ..., B, A + Z) -> (R, ..., B, Z)."""
        return self.posterior(x).draw(noise)[1]


class NoiseEncoder(nn.Module):
    """z = f(x, ε), ε ~ N(0, I): any q(z|x), with no density that could be evaluated.

    AVB section 3 (black-box inference model); AAE section 2 ("universal approximator posterior").
    A perceptron reads ε beside x; where convolutions read x, every hidden layer takes ε by a
    learned projection of its own, as in AVB's nets for images.
    """

    has_density = False
    has_weights = False

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.noise = settings["noise"]
        self.convolutional = "convolutions" in settings
        if self.convolutional:
            self.network = make_reader(replicas, shape, latent, settings, self.noise)
        else:
            sizes = [prod(shape) + self.noise, *settings["hidden"], latent]
            self.network = MLP(replicas, sizes, settings["activation"])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """f(x, ε): (R, B, X), (R, ..., B, N) -> (R, ..., B, Z)."""
        x = aligned(x, noise).expand(*noise.shape[:-1], -1)
        if self.convolutional:
            return self.network(x, side=noise).float()
        return self.network(torch.cat([x, noise], -1)).float()


class DeterministicEncoder(nn.Module):
    """z = f(x): q(z|x) is a point. AAE section 2.

    Args:
        settings: with `code` "sigmoid" its codes lie between 0 and 1.
    """

    has_density = False
    has_weights = False
    noise = 0

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.code = CODES[settings.get("code", "linear")]
        self.network = make_reader(replicas, shape, latent, settings)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The code of each image: (R, B, X), (R, ..., B, 0) -> (R, ..., B, Z)."""
        code = aligned(self.code(self.network(x).float()), noise)
        return code.expand(*noise.shape[:-1], -1)


class ClassAndStyleEncoder(nn.Module):
    """q(y|x), a softmax over classes, and a deterministic style z, from hidden layers they share.

    Makhzani et al. 2015, figures 6 and 8. A code is (y, z), one after the other; y the
    probabilities themselves, of which the adversary asks that they look like one-hot vectors.

    Args:
        latent: units of the style.
    """

    has_density = False
    has_weights = False
    noise = 0

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.classes = settings["classes"]
        self.network = make_reader(replicas, shape, self.classes + latent, settings)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of q(y|x), and styles: (R, B, X) -> (R, B, C), (R, B, Z)."""
        out = self.network(x).float()
        return out[..., : self.classes], out[..., self.classes :]

    def logits(self, x: Tensor) -> Tensor:
        """Of q(y|x): (R, B, X) -> (R, B, C)."""
        return self.heads(x)[0]

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """The code of each image: (R, B, X) -> (R, B, C + Z); `noise` holds nothing."""
        logits, style = self.heads(x)
        return torch.cat([logits.softmax(-1), style], -1)


class Classifier(nn.Module):
    """q(y|x) alone, a softmax over classes: no code, and nothing is decoded from it."""

    def __init__(self, replicas: int, shape: Shape, settings: dict):
        super().__init__()
        self.classes = settings["classes"]
        self.network = make_reader(replicas, shape, self.classes, settings)

    def logits(self, x: Tensor) -> Tensor:
        """Of q(y|x): (R, B, X) -> (R, B, C)."""
        return self.network(x).float()


class ClassThenStyleEncoder(nn.Module):
    """q(y|x), a softmax over classes, and q(z|x, y), a diagonal Gaussian.

    Kingma et al. 2014 (arXiv:1406.5298), section 2.2, equation 4 (model M2). Codes are (y, z), one
    after the other, y in one-hot form.

    Args:
        latent: units of z.
    """

    has_density = False  # of (y, z), of which the first is a class
    has_weights = False

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        first, *hidden = settings["hidden"]
        self.classes, self.noise = settings["classes"], latent
        self.activation = ACTIVATIONS[settings["activation"]]
        self.classifier = Classifier(replicas, shape, settings)
        # The first layer on (x, y), in two parts: an image's is computed once for all classes.
        self.of_image = Linear(replicas, prod(shape), first)
        self.of_class = Linear(replicas, self.classes, first)
        self.network = MLP(replicas, [first, *hidden, 2 * latent], settings["activation"])

    def logits(self, x: Tensor) -> Tensor:
        """Of q(y|x): (R, B, X) -> (R, B, C)."""
        return self.classifier.logits(x)

    def posterior(self, x: Tensor, y: Tensor) -> DiagonalNormal:
        """q(z|x, y): (R, B, X), one-hot (R, ..., B, C) -> moments (R, ..., B, Z)."""
        first = self.activation(aligned(self.of_image(x), y) + self.of_class(y))
        return DiagonalNormal(*self.network(first).float().chunk(2, -1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """A code with the likeliest class: (R, B, X), (R, B, Z) -> (R, B, C + Z)."""
        y = one_hot(self.logits(x).argmax(-1), self.classes).float()
        return torch.cat([y, self.posterior(x, y).transform(noise)[0]], -1)


ENCODERS = {
    "gaussian": GaussianEncoder,
    "two_layer": TwoLayerEncoder,
    "flow": FlowEncoder,
    "auxiliary": AuxiliaryEncoder,
    "noise": NoiseEncoder,
    "basis_noise": BasisNoiseEncoder,
    "deterministic": DeterministicEncoder,
    "class_and_style": ClassAndStyleEncoder,
    "class_then_style": ClassThenStyleEncoder,
}
