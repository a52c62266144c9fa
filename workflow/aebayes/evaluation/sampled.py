"""Metrics and figures' arrays of a model of images: everything by sampling."""

import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aebayes.evaluation.likelihood import (
    EncoderProposal,
    Proposal,
    fitted_proposal,
    importance_sums,
)
from aebayes.evaluation.metrics import NATS, Metric
from aebayes.methods.base import Method
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams

Arrays = dict[str, np.ndarray]

IMAGES_AT_ONCE = 100
CODES = 16
FIGURE_IMAGES = 64


@torch.no_grad()
def sampled_metrics(
    method: Method, x: Tensor, settings: dict, streams: Streams
) -> tuple[dict[str, Metric], Arrays]:
    """Metrics by replica over the test images, and arrays for figures.

    Args:
        x: test images in [0, 1], binarised already if the data are, (R, N, X).
        settings: `importance_samples`, k of the likelihood bound.
    """
    bounds, effective, elbos, expected = [], [], [], []
    k = settings["importance_samples"]
    for images in tqdm(x.split(IMAGES_AT_ONCE, 1), desc="likelihood", unit="batch", disable=None):
        log_sum, log_sum_squares = importance_sums(
            method.model, images, proposal_of(method.model, images, streams), k, streams
        )
        bounds.append(log_sum - math.log(k))
        effective.append((2 * log_sum - log_sum_squares).exp())
        log_likelihood, elbo = reconstruct(method, images, streams)
        expected.append(log_likelihood)
        elbos.append(elbo)
    nll, reconstruction = -torch.cat(bounds, 1), -torch.cat(expected, 1)
    metrics = {
        "nll": over_images(nll),
        "effective_samples": over_images(torch.cat(effective, 1), "samples/image"),
        "reconstruction": over_images(reconstruction),
    }
    if method.model.encoder.has_density:
        metrics["elbo"] = over_images(torch.cat(elbos, 1))
    elif method.estimates_log_ratio:
        metrics["elbo_adversary"] = over_images(torch.cat(elbos, 1))
    return metrics, figure_arrays(method, x, streams)


def over_images(values: Tensor, unit: str = NATS) -> Metric:
    """The mean over images (R, N), with its standard error."""
    errors = values.double().std(1) / math.sqrt(values.shape[1])
    return Metric.of(values.double().mean(1), unit, standard_error=errors.tolist())


def proposal_of(model: AutoEncoder, x: Tensor, streams: Streams) -> Proposal:
    """The proposal that suits the encoder, for images x (R, B, X)."""
    if model.encoder.has_density:
        return EncoderProposal(model, x)
    return fitted_proposal(model, x, streams)


def reconstruct(method: Method, x: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
    """E_q log p(x|z), and the ELBO: both (R, B).

    Where q has a density the ELBO is its Monte Carlo estimate; with an adversary that estimates
    log q(z|x) − log p(z), that estimate takes the place of the truth; otherwise it is NaN.
    """
    model = method.model
    codes = torch.stack([model.encode(x, streams) for _ in range(CODES)], 1)  # (R, S, B, Z)
    log_likelihood = model.log_likelihood(x, codes)  # (R, S, B)
    if model.encoder.has_density:
        log_ratio = model.encoder.posterior(x).log_prob(codes) - model.log_prior(codes)
    elif method.estimates_log_ratio:
        log_ratio = method.adversary(x, codes)
    else:
        log_ratio = torch.full_like(log_likelihood, torch.nan)
    return log_likelihood.double().mean(1), (log_likelihood - log_ratio).double().mean(1)


def figure_arrays(method: Method, x: Tensor, streams: Streams) -> Arrays:
    """The first replica's random samples, and test images beside their reconstructions: (n, X)."""
    model = method.model
    samples = model.decode(model.prior.sample(streams, FIGURE_IMAGES))
    shown = x[:, :FIGURE_IMAGES]
    reconstructions = model.decode(model.encode(shown, streams))
    arrays = {"samples": samples, "images": shown, "reconstructions": reconstructions}
    return {name: array[0].cpu().numpy() for name, array in arrays.items()}
