"""Metrics and figures' arrays of a model with a 2-D latent space, against truth by quadrature."""

import numpy as np
import torch
from torch import Tensor

from aebayes.evaluation.density import histogram_log_density
from aebayes.evaluation.divergences import knn_entropy, knn_kl
from aebayes.evaluation.metrics import Metric
from aebayes.evaluation.quadrature import POINTS_AT_ONCE, Grid, log_joint_on
from aebayes.methods.base import Method
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.normal import log_standard_normal
from aebayes.streams import Streams

Arrays = dict[str, np.ndarray]

FIGURE_CODES = 2000
THEORY_HALF_WIDTH = 3.5
THEORY_CELLS = 70
# A q(z|x) narrower than a grid cell, or beyond the grid, does not sum to 1 on it.
MASS_TOLERANCE = 1e-3
# Few enough that a layer's outputs stay in the cache; larger ones cost page faults besides.
THEORY_CHUNK = 1 << 7


@torch.no_grad()
def exact_metrics(
    method: Method, x: Tensor, settings: dict, streams: Streams
) -> tuple[dict[str, Metric], Arrays]:
    """Metrics by replica and arrays for figures.

    Args:
        x: the few images that are the whole of the data, (R, B, X).
        settings: `grid`, points a side; `codes`, S, samples of q(z|x) an image; `density_codes`,
            how many to count for a black box's density.
    """
    model = method.model
    grid = Grid.of(settings["grid"])
    log_joint = log_joint_on(model, x, grid)  # (R, B, G²)
    log_px = grid.log_integral(log_joint)  # (R, B)
    # The change on halving the grid: more than what is left of the error.
    coarse = Grid.of(settings["grid"] // 2 + 1)
    error = (coarse.log_integral(log_joint_on(model, x, coarse)) - log_px).abs().amax(1)
    codes = sample_codes(model, x, settings["codes"], streams)  # (R, S, B, 2)
    reconstruction = model.log_likelihood(x, codes).double().mean(1)  # (R, B)
    if model.encoder.has_density:
        by_grid, mass = grid_posterior_kl(model, x, grid, log_joint, log_px)
        by_codes = sampled_posterior_kl(model, x, codes, log_px)
        posterior_kl = torch.where((mass - 1).abs() < MASS_TOLERANCE, by_grid, by_codes)
    else:
        posterior_kl = knn_posterior_kl(model, x, codes, log_px)
    metrics = {
        "log_likelihood": Metric.of(log_px.mean(1)),
        "reconstruction": Metric.of(-reconstruction.mean(1)),
        "reconstruction_per_pixel": Metric.of(-reconstruction.mean(1) / x.shape[-1], "nats/pixel"),
        "elbo": Metric.of((log_px - posterior_kl).mean(1)),
        "prior_kl": Metric.of(prior_kl(codes, streams)),
        "posterior_kl": Metric.of(posterior_kl.mean(1)),
        "quadrature_error": Metric.of(error),
    }
    arrays = {"codes": codes[:, :FIGURE_CODES].numpy()}
    if method.estimates_log_ratio:
        t = method.log_ratio(x, codes).double().mean(1)  # (R, B)
        metrics["elbo_adversary"] = Metric.of((reconstruction - t).mean(1))
        more_metrics, more_arrays = compare_with_theory(
            method, x, settings["density_codes"], streams
        )
        metrics |= more_metrics
        arrays |= more_arrays
    return metrics, arrays


def sample_codes(model: AutoEncoder, x: Tensor, samples: int, streams: Streams) -> Tensor:
    """S codes of every image: (R, B, X) -> (R, S, B, Z)."""
    repeated = x.repeat_interleave(samples, 1)  # (R, B S, X)
    return model.encode(repeated, streams).unflatten(1, (-1, samples)).transpose(1, 2)


def grid_posterior_kl(
    model: AutoEncoder, x: Tensor, grid: Grid, log_joint: Tensor, log_px: Tensor
) -> tuple[Tensor, Tensor]:
    """KL(q(z|x) ‖ p(z|x)) by quadrature, for a q with a density, and q's mass on the grid.

    Returns:
        Two of (R, B); the first in nats, and to be believed where the second is 1.
    """
    posterior = model.encoder.posterior(x)
    points = grid.points().expand(len(x), -1, -1).unsqueeze(2)  # (R, G², 1, 2)
    parts = [posterior.log_prob(some) for some in points.split(POINTS_AT_ONCE, 1)]
    log_q = torch.cat(parts, 1).transpose(1, 2)  # (R, B, G²)
    log_posterior = log_joint.double() - log_px.unsqueeze(-1)
    kl = grid.expectation(log_q, log_q.double() - log_posterior)
    return kl, grid.log_integral(log_q).exp()


def sampled_posterior_kl(model: AutoEncoder, x: Tensor, codes: Tensor, log_px: Tensor) -> Tensor:
    """The same by averaging log q(z|x) − log p(z|x) over codes (R, S, B, 2): (R, B) nats."""
    log_ratio = model.encoder.posterior(x).log_prob(codes) - model.log_joint(x, codes)
    return log_ratio.double().mean(1) + log_px


def knn_posterior_kl(model: AutoEncoder, x: Tensor, codes: Tensor, log_px: Tensor) -> Tensor:
    """KL(q(z|x) ‖ p(z|x)) of a black-box q: (R, B) nats.

    −H(q) by the k-nearest-neighbour estimator, the cross-entropy with the exact posterior by
    averaging over the same codes (R, S, B, 2).
    """
    cross_entropy = log_px - model.log_joint(x, codes).double().mean(1)
    entropy = [[knn_entropy(q.numpy()) for q in replica.unbind(1)] for replica in codes]
    return cross_entropy - torch.tensor(entropy, dtype=torch.double)


def prior_kl(codes: Tensor, streams: Streams) -> list[float]:
    """KL(q(z) ‖ p(z)) by k-NN, q(z) the codes (R, S, B, Z) of all images together: (R,) nats."""
    aggregated = codes.flatten(1, 2)
    prior = streams.normal(*aggregated.shape[1:])  # the exact evaluation knows no other
    return [knn_kl(q.numpy(), p.numpy()) for q, p in zip(aggregated, prior, strict=True)]


def compare_with_theory(
    method: Method, x: Tensor, samples: int, streams: Streams
) -> tuple[dict[str, Metric], Arrays]:
    """T(x, z) beside what theory says it is.

    Proposition 1: T* = log q(z|x) − log p(z). Corollary 4: at the equilibrium that is the
    pointwise mutual information log q(z|x) − log q(z). The black-box densities come from counting
    many codes an image in small cells.

    Returns:
        Root mean squared differences under q by replica, and arrays on cell centres:
        `theory_axis` (G,), and `theory_t`, `theory_log_ratio`, `theory_pmi`, each (R, B, G, G),
        NaN where q puts too few codes to count.
    """
    edges = np.linspace(-THEORY_HALF_WIDTH, THEORY_HALF_WIDTH, THEORY_CELLS + 1)
    centres = torch.tensor((edges[1:] + edges[:-1]) / 2, dtype=torch.float32)
    points = torch.cartesian_prod(centres, centres)  # (G², 2)
    log_q = torch.from_numpy(
        log_densities(method.model, x, edges, samples, streams)
    )  # (R, B, G, G)
    log_prior = log_standard_normal(points).view(THEORY_CELLS, THEORY_CELLS)
    log_marginal = log_q.nan_to_num(-torch.inf).logsumexp(1, keepdim=True) - np.log(x.shape[1])
    t = method.log_ratio(x, points.expand(len(x), -1, -1).unsqueeze(2))  # (R, G², B)
    t = t.transpose(1, 2).unflatten(2, (THEORY_CELLS, THEORY_CELLS))
    log_ratio, pmi = log_q - log_prior, log_q - log_marginal
    metrics = {
        "adversary_log_ratio_rms": Metric.of(rms_under(log_q, t - log_ratio), "nats"),
        "adversary_pmi_rms": Metric.of(rms_under(log_q, t - pmi), "nats"),
    }
    arrays = {"theory_t": t, "theory_log_ratio": log_ratio, "theory_pmi": pmi}
    return metrics, {
        "theory_axis": centres.numpy(),
        **{name: array.float().numpy() for name, array in arrays.items()},
    }


def log_densities(
    model: AutoEncoder, x: Tensor, edges: np.ndarray, samples: int, streams: Streams
) -> np.ndarray:
    """log q(z|x) of every image on the cells between `edges`: (R, B, G, G), NaN where unknown."""
    sizes = [min(THEORY_CHUNK, samples - done) for done in range(0, samples, THEORY_CHUNK)]
    chunks = [sample_codes(model, x, size, streams) for size in sizes]
    codes = torch.cat(chunks, 1).numpy()  # (R, S, B, 2)
    return np.stack(
        [
            [histogram_log_density(replica[:, image], edges) for image in range(x.shape[1])]
            for replica in codes
        ]
    )


def rms_under(log_q: Tensor, difference: Tensor) -> Tensor:
    """√ E_q[difference²] over the cells where q is known: two of (R, B, G, G) -> (R,)."""
    weights = log_q.exp().nan_to_num(0.0)
    squares = difference.square().nan_to_num(0.0)
    return ((weights * squares).sum((1, 2, 3)) / weights.sum((1, 2, 3))).sqrt()
