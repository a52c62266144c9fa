"""Metrics and figures' arrays of a model of images: everything by sampling.

Images for figures are kept in half precision: of an intensity in [0, 1] that is eleven bits, of
which a figure shows eight.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aebayes.compilation import compiled
from aebayes.evaluation.likelihood import ImportanceSums, importance_sums, round_numbers
from aebayes.evaluation.match import match_metrics
from aebayes.evaluation.metrics import Metric, over_images
from aebayes.evaluation.neighbours import precision_and_recall
from aebayes.evaluation.parzen import parzen_window
from aebayes.evaluation.posteriors import black_box_posterior_arrays, posterior_arrays
from aebayes.evaluation.proposals import Proposal, fitted_proposal, gaussian_log_weights
from aebayes.evaluation.recognise import decoded_by_class
from aebayes.evaluation.units import UnitMoments, unit_moments, without_inactive
from aebayes.methods.base import Method
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.priors import PlanePrior
from aebayes.streams import Streams

Arrays = dict[str, np.ndarray]
MakeProposal = Callable[[Tensor], Proposal]

# With an encoder whose codes have weights, few images and many samples in a chunk: the encoder's
# cost is shared by more. Fitting a Gaussian starts with one sample an image: it wants more images.
IMAGES_AT_ONCE = {True: 20, False: 100}
CODES_IMAGES_AT_ONCE = 100
CODES = 16
FIGURE_IMAGES = 64
FIGURE_PIXELS = 4096  # of smaller images there are more
MANIFOLD_SIDE = 12
PRIOR_DRAWS = 2000
STYLES = 10
# Codes of which the figure of posteriors draws one, whatever k the model was trained with.
RESAMPLED = 50
INTERPOLATED = 8


@torch.no_grad()
def sampled_metrics(
    method: Method,
    x: Tensor,
    train: Iterable[Tensor],
    settings: dict,
    streams: Streams,
    compile: bool = False,
    validation: Tensor | None = None,
) -> tuple[dict[str, Metric], Arrays]:
    """Metrics by replica over the test images, and arrays for figures.

    Args:
        x: test images in [0, 1], binarised already if the data are, (R, N, X).
        train: all training images likewise, some at a time, (R, B, X).
        settings: `importance_samples`, k of the likelihood bound, not computed if absent;
            `importance_images`, of how many images, of all if absent; `pruned_images`, for how
            many it is computed without inactive units, too; `prior_match`, whether the codes are
            compared with the prior; `parzen_samples`, on how many of the model's samples windows
            are put, and `parzen_many_samples`, once more; `interpolations`, of how many pairs of
            test images.
        validation: images likewise (R, N', X), by which the windows' width is chosen.
    """
    model = method.model
    metrics, arrays = {}, {}
    if "importance_samples" in settings:
        scored = x[:, : settings.get("importance_images")]
        k = settings["importance_samples"]
        nll, metrics, arrays = likelihood(model, scored, k, streams, compile)
    if "parzen_samples" in settings:
        metrics |= sample_metrics(model, validation, x, settings, streams)
    if model.encoder is not None and settings.get("prior_match"):
        metrics |= match_metrics(model, x, streams)
    if model.encoder is not None and not model.classes:
        metrics |= code_metrics(method, x, streams)
        if model.encoder.has_density and model.encoder.has_mean:
            units = unit_moments(model, train, streams)
            for suffix, layer in zip(("", "_2"), units, strict=False):
                metrics[f"active_units{suffix}"] = Metric.of(layer.active.sum(1), "units")
                arrays[f"unit_variances{suffix}"] = layer.variance.cpu().numpy()
            if "pruned_images" in settings:
                metrics |= pruned_metrics(model, x, nll, units, settings, streams)
            if model.layers == [2] and "importance_samples" in settings:
                arrays |= posterior_arrays(method, x, RESAMPLED, streams)
        elif model.layers == [2] and model.encoder.noise and "importance_samples" in settings:
            arrays |= black_box_posterior_arrays(method, x, streams)
        if model.layers == [2]:
            arrays |= plane_arrays(model, x, streams)
    arrays |= figure_arrays(method, x, streams)
    if "interpolations" in settings:
        arrays["interpolations"] = interpolations(model, x, settings["interpolations"], streams)
    return metrics, arrays


def likelihood(
    model: AutoEncoder, x: Tensor, k: int, streams: Streams, compile: bool
) -> tuple[Tensor, dict[str, Metric], Arrays]:
    """−L_k of each image (R, N), its metrics, and L at the round numbers up to k for the figure."""
    batches = x.split(IMAGES_AT_ONCE[model.encoder.has_weights], 1)
    sums = sums_over(batches, proposals_for(model, streams, compile), round_numbers(k), streams)
    nll = -sums.bounds[-1]
    metrics = {
        "nll": over_images(nll),
        "effective_samples": over_images(sums.effective_samples, "samples/image"),
    }
    bounds = [over_images(bound) for bound in sums.bounds]
    arrays = {
        "bounds_k": sums.ks.cpu().numpy(),
        "bounds": np.array([bound.replicas for bound in bounds]).T,
        "bounds_error": np.array([bound.standard_error for bound in bounds]).T,
    }
    return nll, metrics, arrays


def proposals_for(model: AutoEncoder, streams: Streams, compile: bool) -> MakeProposal:
    """What gives images (R, B, X) the proposal that suits the encoder."""
    if model.encoder.has_weights:
        log_weights = compiled(model.log_weights, compile)
        return lambda x: Proposal(x, model.encoder.noise, log_weights)
    log_weights = compiled(partial(gaussian_log_weights, model), compile)
    log_joint = compiled(model.log_joint, compile)

    def fitted(x: Tensor) -> Proposal:
        gaussian = fitted_proposal(x, model.encode(x, streams), log_joint, streams)
        return Proposal(x, model.latent, log_weights, (gaussian.mean, gaussian.factor))

    return fitted


def sums_over(
    batches: Sequence[Tensor], propose: MakeProposal, ks: list[int], streams: Streams
) -> ImportanceSums:
    """Importance sums of all images, which come in batches (R, B, X)."""
    shown = tqdm(batches, desc="likelihood", unit="batch", disable=None, leave=False)
    parts = [importance_sums(propose(images), ks, streams) for images in shown]
    return ImportanceSums(
        parts[0].ks,
        torch.cat([part.log_sums for part in parts], -1),
        torch.cat([part.log_sum_squares for part in parts], -1),
    )


def pruned_metrics(
    model: AutoEncoder,
    x: Tensor,
    nll: Tensor,
    units: list[UnitMoments],
    settings: dict,
    streams: Streams,
) -> dict[str, Metric]:
    """What taking the inactive units out costs on the first images, added to −L_k of all (R, N)."""
    some = slice(settings["pruned_images"])
    k = settings["importance_samples"]
    change = pruning_cost(model, x[:, some], -nll[:, some], units, k, streams)
    return {
        "pruning_cost": over_images(change),
        "nll_pruned": Metric.of(nll.mean(1) + change.mean(1)),
    }


def pruning_cost(
    model: AutoEncoder,
    x: Tensor,
    bound: Tensor,
    units: list[UnitMoments],
    k: int,
    streams: Streams,
) -> Tensor:
    """L_k less L_k without the inactive units, of each image: x (R, B, X) -> (R, B).

    Args:
        bound: L_k with all units, (R, B).
    """
    rows = []
    for replica in range(len(x)):
        small = without_inactive(model, replica, [layer.of(replica) for layer in units])
        alone = streams.only(replica)
        propose = proposals_for(small, alone, compile=False)
        images = x[replica : replica + 1].split(IMAGES_AT_ONCE[True], 1)
        rows.append(sums_over(images, propose, [k], alone).bounds[-1])
    return bound - torch.cat(rows)


def sample_metrics(
    model: AutoEncoder, validation: Tensor, x: Tensor, settings: dict, streams: Streams
) -> dict[str, Metric]:
    """What the model's samples are worth: Parzen windows, precision and recall.

    Images are the first replica's: they differ between replicas only where they are binarised.
    """
    metrics = {}
    for name in ("parzen", "parzen_many"):
        if f"{name}_samples" in settings:
            samples = settings[f"{name}_samples"]
            densities, deviations = parzen_window(model, validation[0], x[0], samples, streams)
            metrics[name] = over_images(densities)
            metrics[f"{name}_sd"] = Metric.of(deviations, "intensity")
    generated = model.sample(streams, len(x[0]))
    pairs = [precision_and_recall(x[0], each) for each in generated]
    precisions, recalls = zip(*pairs, strict=True)
    return metrics | {
        "precision": Metric.of(precisions, "share"),
        "recall": Metric.of(recalls, "share"),
    }


def code_metrics(method: Method, x: Tensor, streams: Streams) -> dict[str, Metric]:
    """Reconstruction and ELBO of images (R, N, X)."""
    parts = [reconstruct(method, images, streams) for images in x.split(CODES_IMAGES_AT_ONCE, 1)]
    expected, elbo = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    metrics = {"reconstruction": over_images(-expected)}
    if has_bound(method.model):
        metrics["elbo"] = over_images(elbo)
    elif method.estimates_log_ratio:
        metrics["elbo_adversary"] = over_images(elbo)
    return metrics


def has_bound(model: AutoEncoder) -> bool:
    """Whether the ELBO's log ratio can be evaluated."""
    return model.encoder.has_weights and model.prior.has_density


def reconstruct(method: Method, x: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
    """E_q log p(x|z), and the ELBO: both (R, B).

    Where q and p(z) have densities the ELBO is its Monte Carlo estimate, and where codes have
    weights alone, that of the bound with them; with an adversary that estimates log q(z|x) −
    log p(z), that estimate takes the place of the truth; otherwise it is NaN.
    """
    model = method.model
    noise = [model.noise(streams, x.shape[1]) for _ in range(CODES)]
    codes = torch.stack([model.encoder(x, each) for each in noise], 1)  # (R, S, B, Z)
    log_likelihood = model.log_likelihood(x, codes)  # (R, S, B)
    if has_bound(model) and not model.encoder.has_density:
        _, log_q = model.encoder.posterior(x).transform(torch.stack(noise, 1))
        log_ratio = log_q - model.log_prior(codes)
    elif has_bound(model):
        log_ratio = model.encoder.posterior(x).log_prob(codes) - model.log_prior(codes)
    elif method.estimates_log_ratio:
        log_ratio = method.log_ratio(x, codes)
    else:
        log_ratio = torch.full_like(log_likelihood, torch.nan)
    return log_likelihood.double().mean(1), (log_likelihood - log_ratio).double().mean(1)


def plane_arrays(model: AutoEncoder, x: Tensor, streams: Streams) -> Arrays:
    """A 2-D latent space of the first replica: where the test images' codes lie, and what there is.

    Returns:
        test_codes: (N, 2), one code an image, in the order of the test split.
        prior_draws: (N', 2).
        manifold_axis: (G,), along both axes: the prior's quantiles, or its extent.
        manifold: (G, G, X), E[x|z] there, z₁ first.
        class_walk: (C, G, X), E[x|z] along the main axis of each class's part of the prior, where
            it has such parts.
    """
    codes = [model.encode(part, streams)[0] for part in x.split(CODES_IMAGES_AT_ONCE, 1)]
    axis = model.prior.axis(MANIFOLD_SIDE).to(x.device)
    points = torch.cartesian_prod(axis, axis).expand(len(x), -1, -1)
    manifold = model.decode(points)[0].unflatten(0, (MANIFOLD_SIDE, MANIFOLD_SIDE))
    arrays = {
        "test_codes": torch.cat(codes),
        "prior_draws": model.prior.sample(streams, PRIOR_DRAWS)[0],
        "manifold_axis": axis,
        "manifold": manifold.half(),
    }
    if isinstance(model.prior, PlanePrior):
        points = model.prior.walk(MANIFOLD_SIDE).to(x.device)
        walk = model.decode(points.flatten(0, 1).expand(len(x), -1, -1))
        arrays["class_walk"] = walk[0].unflatten(0, points.shape[:2]).half()
    return {name: array.cpu().numpy() for name, array in arrays.items()}


def figure_arrays(method: Method, x: Tensor, streams: Streams) -> Arrays:
    """The first replica's random samples, and test images beside their reconstructions: (n, X).

    Of a decoder that is told the class there are `styles` instead, (n, C, X): a code a row, decoded
    as every class.
    """
    model = method.model
    count = max(FIGURE_IMAGES, FIGURE_PIXELS // x.shape[-1])
    arrays = {"samples": model.sample(streams, count)}
    if model.classes:
        by_class, _ = decoded_by_class(model, streams, STYLES)
        arrays["styles"] = by_class.transpose(1, 2)
    elif model.encoder is not None:
        arrays["images"] = x[:, :FIGURE_IMAGES]
        arrays["reconstructions"] = model.decode(model.encode(arrays["images"], streams))
    return {name: array[0].half().cpu().numpy() for name, array in arrays.items()}


@torch.no_grad()
def interpolations(model: AutoEncoder, x: Tensor, pairs: int, streams: Streams) -> np.ndarray:
    """E[x|z] on the lines between the codes of pairs of test images, both ends included: (n, G, X).

    Of the first replica; a pair is an even image and the one after it.
    """
    codes = model.encode(x[:, : 2 * pairs], streams).unflatten(1, (-1, 2))  # (R, n, 2, Z)
    share = torch.linspace(0, 1, INTERPOLATED, device=x.device).view(-1, 1)
    line = torch.lerp(codes[:, :, :1], codes[:, :, 1:], share)  # (R, n, G, Z)
    return model.decode(line)[0].half().cpu().numpy()
