"""Metrics and figures' arrays of a model of images: everything by sampling."""

import math

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aebayes.evaluation.likelihood import (
    encoder_proposal,
    fitted_proposal,
    log_likelihood_bound,
)
from aebayes.evaluation.metrics import Metric
from aebayes.methods.base import Method
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
    bounds, elbos, expected = [], [], []
    for images in tqdm(x.split(IMAGES_AT_ONCE, 1), desc="likelihood", unit="batch", disable=None):
        bounds.append(bound_of(method, images, settings["importance_samples"], streams))
        log_likelihood, elbo = reconstruct(method, images, streams)
        expected.append(log_likelihood)
        elbos.append(elbo)
    nll, reconstruction = -torch.cat(bounds, 1), -torch.cat(expected, 1)
    metrics = {"nll": over_images(nll), "reconstruction": over_images(reconstruction)}
    if method.model.encoder.has_density:
        metrics["elbo"] = over_images(torch.cat(elbos, 1))
    elif method.estimates_log_ratio:
        metrics["elbo_adversary"] = over_images(torch.cat(elbos, 1))
    return metrics, figure_arrays(method, x, streams)


def over_images(values: Tensor) -> Metric:
    """The mean over images (R, N), with its standard error."""
    errors = values.double().std(1) / math.sqrt(values.shape[1])
    return Metric.of(values.double().mean(1), standard_error=errors.tolist())


def bound_of(method: Method, x: Tensor, k: int, streams: Streams) -> Tensor:
    """L_k of each image (R, B), with the proposal that suits the encoder."""
    model = method.model
    if model.encoder.has_density:
        proposal = encoder_proposal(model, x)
    else:
        proposal = fitted_proposal(model, x, streams)
    return log_likelihood_bound(model, x, proposal, k, streams)


def reconstruct(method: Method, x: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
    """E_q log p(x|z), and the ELBO: both (R, B).

    Where q has a density the ELBO is its Monte Carlo estimate; with an adversary that estimates
    log q(z|x) − log p(z), that estimate takes the place of the truth; otherwise it is NaN.
    """
    model = method.model
    codes = torch.stack([model.encode(x, streams) for _ in range(CODES)], 1)  # (R, S, B, Z)
    log_likelihood = model.log_likelihood(x, codes)  # (R, S, B)
    if model.encoder.has_density:
        log_ratio = model.encoder.log_prob(codes, x) - model.log_prior(codes)
    elif method.estimates_log_ratio:
        log_ratio = method.adversary(x, codes)
    else:
        log_ratio = torch.full_like(log_likelihood, torch.nan)
    return log_likelihood.double().mean(1), (log_likelihood - log_ratio).double().mean(1)


def figure_arrays(method: Method, x: Tensor, streams: Streams) -> Arrays:
    """The first replica's random samples, and test images beside their reconstructions: (n, X)."""
    model = method.model
    samples = model.decode(streams.normal(FIGURE_IMAGES, model.latent))
    shown = x[:, :FIGURE_IMAGES]
    return {
        "samples": samples[0].numpy(),
        "images": shown[0].numpy(),
        "reconstructions": model.decode(model.encode(shown, streams))[0].numpy(),
    }
