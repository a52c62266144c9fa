"""p(z|x) by quadrature, beside q(z|x) and beside what importance resampling makes of q, on a plane.

Of k codes from q(z|x), one drawn by its weight w = p(x, z)/q(z|x) has in expectation the density
q_IW(z|x) = p(x, z) E k/(w(z) + Σ_{j=2}^k w_j), z_j ~ q(z|x): Cremer, Morris & Duvenaud 2017
(arXiv:1704.02916). With k = 1 it is q, and it approaches p(z|x) as k grows.

A black-box q(z|x) is known by its codes alone: its density is that of many, a little smoothed, and
its divergence theirs, by nearest neighbours.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from aebayes.evaluation.divergences import knn_entropy
from aebayes.evaluation.exact import sample_codes
from aebayes.evaluation.likelihood import CHUNK_ELEMENTS, chunks
from aebayes.evaluation.quadrature import HALF_WIDTH
from aebayes.evaluation.units import one_replica
from aebayes.methods.base import Method
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.normal import DiagonalNormal
from aebayes.streams import Streams

IMAGES = 6
SIDE = 121
# Over |z| ≤ 6 its points lie 0.03 apart: no posterior falls between them unseen.
FIRST_SIDE = 401
# A window holds so many deviations of q on either side, and all of p but so much in each tail,
# with a margin for that.
Q_DEVIATIONS = 5.0
TAIL = 5e-4
MARGIN = 1.3
# Sets of k − 1 codes that the expectation is taken over.
SETS = 400
# Of a black box for each image, and the deviation, in points of the window, that smooths them.
CODES = 20_000
CODES_AT_ONCE = 1_000
SMOOTHING = 1.0
LEAST_DENSITY = 1e-30


@dataclass(frozen=True)
class Windows:
    """A square grid of codes for each image.

    Args:
        axes: both coordinates along a side, (B, 2, G), or (1, 2, G) if all images have the same.
    """

    axes: Tensor

    @classmethod
    def between(cls, low: Tensor, high: Tensor, side: int) -> "Windows":
        """The smallest squares that hold the boxes from `low` to `high`, both (B, 2)."""
        half_width = ((high - low) / 2).amax(-1).view(-1, 1, 1)
        steps = torch.linspace(-1, 1, side, dtype=low.dtype, device=low.device)
        return cls(((low + high) / 2).unsqueeze(-1) + half_width * steps)

    @property
    def spacing(self) -> Tensor:
        """Between neighbouring points, (B,)."""
        return self.axes[:, 0, 1] - self.axes[:, 0, 0]

    @property
    def log_cell(self) -> Tensor:
        """log of a cell's area, (B, 1)."""
        return 2 * self.spacing.log().unsqueeze(-1)

    def points(self) -> Tensor:
        """All points, the first coordinate slowest: (G², B, 2)."""
        first, second = self.axes.unbind(1)  # (B, G) each
        side = first.shape[-1]
        first, second = first.repeat_interleave(side, -1), second.repeat(1, side)
        return torch.stack([first, second], -1).transpose(0, 1)

    def mass(self, log_density: Tensor) -> Tensor:
        """log ∫ exp(log_density) dz: (B, G²) -> (B, 1)."""
        return log_density.logsumexp(-1, keepdim=True) + self.log_cell

    def kl(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        """KL(q ‖ p) of two densities (B, G²) in nats: (B,)."""
        return ((log_q + self.log_cell).exp() * (log_q - log_p)).sum(-1)


@torch.no_grad()
def posterior_arrays(method: Method, x: Tensor, k: int, streams: Streams) -> dict[str, np.ndarray]:
    """The first replica's posteriors of the first few images, each on a window of its own.

    Args:
        method: its model has one layer of two latent units, and a Gaussian q(z|x).
        x: test images, (R, N, X).
        k: codes that one is drawn from.

    Returns:
        posterior_k: (1,), k.
        posterior_images: (n, X).
        posterior_axes: (n, 2, G), z₁ and z₂ along the window's sides.
        posterior_log_p, posterior_log_q, posterior_log_q_iw: (n, G, G), z₁ first; logarithms of
            densities that integrate to 1 over the window.
        posterior_kl_q, posterior_kl_q_iw: (n,), how far from p(z|x) either is, in nats.
        posterior_mass_q, posterior_mass_q_iw: (n,), what either integrated to before; 1 but for
            what lies outside, and for q_IW but for chance.
    """
    model = one_replica(method.model, 0)
    x = x[:1, :IMAGES]
    q = model.encoder.posterior(x)
    windows = windows_for(model, x, q)
    points = windows.points()
    log_joint = log_joint_at(model, x, points)  # (B, G²)
    log_p = log_joint - windows.mass(log_joint)
    log_q = q.log_prob(points.float().unsqueeze(0))[0].T.double()
    log_sums = log_sums_of_others(model, x, k, streams.only(0))
    log_q_iw = resampled_log_density(log_joint, log_q, log_sums, k)
    arrays = {"k": torch.tensor([k]), "images": x[0], "axes": windows.axes, "log_p": log_p}
    for name, log_density in (("q", log_q), ("q_iw", log_q_iw)):
        mass = windows.mass(log_density)
        arrays[f"log_{name}"] = log_density - mass
        arrays[f"kl_{name}"] = windows.kl(log_density - mass, log_p)
        arrays[f"mass_{name}"] = mass.exp().squeeze(-1)
    return named(arrays)


@torch.no_grad()
def black_box_posterior_arrays(
    method: Method, x: Tensor, streams: Streams
) -> dict[str, np.ndarray]:
    """The same but for q_IW, of a q(z|x) that one can only draw from.

    Args:
        method: its model has one layer of two latent units.
        x: test images, (R, N, X).
    """
    model = one_replica(method.model, 0)
    x = x[:1, :IMAGES]
    own = streams.only(0)
    parts = [sample_codes(model, x, CODES_AT_ONCE, own) for _ in range(CODES // CODES_AT_ONCE)]
    codes = torch.cat(parts, 1)  # (1, S, B, 2)
    spread, mean = torch.std_mean(codes, 1)
    windows = windows_for(model, x, DiagonalNormal(mean, spread.log()))
    log_joint = log_joint_at(model, x, windows.points())
    log_px = windows.mass(log_joint)  # (B, 1)
    log_q, mass = smoothed_log_density(windows, codes[0].double())
    arrays = {"images": x[0], "axes": windows.axes, "log_p": log_joint - log_px, "log_q": log_q}
    entropy = [knn_entropy(of_image.cpu().numpy()) for of_image in codes[0].unbind(1)]
    cross_entropy = log_px.squeeze(-1) - log_joint_at(model, x, codes[0]).mean(-1)
    kl = cross_entropy.cpu() - torch.tensor(entropy, dtype=torch.double)
    return named(arrays | {"kl_q": kl, "mass_q": mass})


def smoothed_log_density(windows: Windows, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Of codes (S, B, 2) on each image's window, (B, G²), and what share of them lies there, (B,).

    A code counts for the point that it is nearest to; a Gaussian then spreads the counts.
    """
    logs, shares = [], []
    for (first, second), of_image in zip(windows.axes.cpu(), codes.cpu().unbind(1), strict=True):
        half = float(first[1] - first[0]) / 2
        ranges = [(float(axis[0]) - half, float(axis[-1]) + half) for axis in (first, second)]
        counts, *_ = np.histogram2d(*of_image.T.numpy(), bins=SIDE, range=ranges)
        shares.append(counts.sum() / len(of_image))
        density = gaussian_filter(counts / counts.sum(), SMOOTHING, mode="constant")
        density /= density.sum() * (2 * half) ** 2
        logs.append(np.log(np.maximum(density, LEAST_DENSITY)).ravel())
    return torch.tensor(np.array(logs)), torch.tensor(shares, dtype=torch.double)


def named(arrays: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """By the names under which figures know them; densities (n, G²) as (n, G, G), in float32."""
    for name in arrays.keys() & {"log_p", "log_q", "log_q_iw"}:
        arrays[name] = arrays[name].unflatten(-1, (SIDE, SIDE)).float()
    return {f"posterior_{name}": array.cpu().numpy() for name, array in arrays.items()}


def windows_for(model: AutoEncoder, x: Tensor, q: DiagonalNormal) -> Windows:
    """Windows that hold p(z|x) and q(z|x) of each image, found in two steps: x (1, B, X)."""
    mean, reach = q.mean[0].double(), Q_DEVIATIONS * q.log_sd[0].double().exp()  # (B, 2)
    q_low, q_high = mean - reach, mean + reach
    farthest = torch.maximum(q_low.abs(), q_high.abs()).amax().clamp(min=HALF_WIDTH)
    corner = farthest.expand(1, 2)
    windows, side = Windows.between(-corner, corner, FIRST_SIDE), FIRST_SIDE
    for _ in range(2):
        log_joint = log_joint_at(model, x, windows.points())
        p_low, p_high = box_of(windows, log_joint.unflatten(-1, (side, side)))
        low, high = torch.minimum(p_low, q_low), torch.maximum(p_high, q_high)
        windows, side = Windows.between(low, high, SIDE), SIDE
    return windows


def box_of(windows: Windows, log_density: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (B, 2) of a box that holds a density known but for a factor, (B, G, G)."""
    density = (log_density - log_density.amax((1, 2), keepdim=True)).exp()
    marginals = torch.stack([density.sum(2), density.sum(1)], 1)  # (B, 2, G)
    below = marginals.cumsum(-1) / marginals.sum(-1, keepdim=True)
    axes = windows.axes.expand_as(below)
    first = (below <= TAIL).sum(-1, keepdim=True)
    last = (below < 1 - TAIL).sum(-1, keepdim=True)
    low, high = axes.gather(-1, first).squeeze(-1), axes.gather(-1, last).squeeze(-1)
    half_width = MARGIN * (high - low) / 2 + windows.spacing.view(-1, 1)
    return (low + high) / 2 - half_width, (low + high) / 2 + half_width


def log_joint_at(model: AutoEncoder, x: Tensor, points: Tensor) -> Tensor:
    """log p(x, z), some points at a time: (1, B, X), (P, B or 1, 2) -> (B, P), double precision."""
    most = max(1, CHUNK_ELEMENTS[x.device.type] // x.numel())
    parts = [model.log_joint(x, z.float().unsqueeze(0))[0] for z in points.split(most)]
    return torch.cat(parts).T.double()


def log_sums_of_others(model: AutoEncoder, x: Tensor, k: int, streams: Streams) -> Tensor:
    """log Σ_{j=2}^k w_j of every set: x (1, B, X) -> (B, S), double precision."""
    images = x.shape[1]
    if k == 1:
        return torch.full((images, SETS), -math.inf, dtype=torch.double, device=x.device)
    parts = []
    for _, sets in chunks(SETS, CHUNK_ELEMENTS[x.device.type] // ((k - 1) * x.numel())):
        log_weights = model.log_weights(x, model.noise(streams, sets * (k - 1), images))
        parts.append(log_weights[0].double().unflatten(0, (sets, k - 1)).logsumexp(1))
    return torch.cat(parts).T


def resampled_log_density(log_joint: Tensor, log_q: Tensor, log_sums: Tensor, k: int) -> Tensor:
    """log q_IW(z|x), its expectation over the sets: (B, P), (B, P), (B, S) -> (B, P)."""
    rows = []
    for joint, q, sums in zip(log_joint, log_q, log_sums, strict=True):
        totals = torch.logaddexp((joint - q).unsqueeze(-1), sums)  # (P, S)
        rows.append(joint + math.log(k / len(sums)) + (-totals).logsumexp(-1))
    return torch.stack(rows)
