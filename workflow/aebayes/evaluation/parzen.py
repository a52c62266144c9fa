"""The Parzen-window log-likelihood: a density put on a model's samples, in nats per image.

Breuleux et al. 2011; σ by validation images as Goodfellow et al. 2014 chose it. It rewards samples
that lie near the data, and says little of the model's own density (Theis et al. 2016).
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aebayes.evaluation.likelihood import chunks
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams

DEVIATIONS = np.logspace(-1, 0, 10).tolist()  # of Goodfellow et al.'s published code
SAMPLES_AT_ONCE = 1000
# Distances (N', M') of one chunk: what stays in a CPU's cache.
CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}


def parzen_window(
    model: AutoEncoder, validation: Tensor, test: Tensor, samples: int, streams: Streams
) -> tuple[Tensor, list[float]]:
    """log density of test images under windows on the model's samples, and each replica's σ.

    The samples are streamed: memory does not grow with their number.

    Args:
        validation: images (N', X) by whose mean log density σ is chosen, of `DEVIATIONS`.
        test: images (N, X).

    Returns:
        (R, N) in double precision, and the deviations.
    """
    images = torch.cat([validation, test])
    by_deviation = log_densities(images, model_samples(model, samples, streams), DEVIATIONS)
    held_out, shown = by_deviation.split([len(validation), len(test)], -1)
    best = held_out.mean(-1).argmax(1).tolist()
    densities = torch.stack([each[index] for each, index in zip(shown, best, strict=True)])
    return densities, [DEVIATIONS[index] for index in best]


def model_samples(model: AutoEncoder, samples: int, streams: Streams) -> Iterator[Tensor]:
    """E[x|z] of draws from the prior, some at a time: (R, M', X)."""
    parts = chunks(samples, SAMPLES_AT_ONCE)
    for _, size in tqdm(parts, desc="samples", unit="batch", disable=None, leave=False):
        yield model.sample(streams, size)


def log_densities(images: Tensor, samples: Iterable[Tensor], sds: Sequence[float]) -> Tensor:
    """log 1/M Σ_j N(x; s_j, σ² I) in nats for every σ, double: (N, X), (R, M', X)s -> (R, S, N)."""
    total, count = torch.tensor(-math.inf, dtype=torch.double, device=images.device), 0
    for part in samples:
        rows = images.split(max(1, CHUNK_ELEMENTS[images.device.type] // part.shape[1]))
        sums = [torch.cat([log_sums(x, each, sds) for x in rows], 1) for each in part]
        total = torch.logaddexp(total, torch.stack(sums))
        count += part.shape[1]
    pixels = images.shape[1]
    scale = [math.log(count) + pixels * math.log(sd * math.sqrt(2 * math.pi)) for sd in sds]
    return total - torch.tensor(scale, dtype=torch.double, device=images.device).unsqueeze(1)


def log_sums(x: Tensor, samples: Tensor, sds: Sequence[float]) -> Tensor:
    """log Σ_j exp(−‖x − s_j‖² / 2σ²) for every σ, double: (N, X), (M, X) -> (S, N)."""
    squares = x.square().sum(1, keepdim=True) + samples.square().sum(1)
    distances = (squares - 2 * x @ samples.mT).clamp(min=0)
    nearest = distances.amin(1, keepdim=True)
    beyond = distances - nearest
    sums = [(beyond * (-0.5 / sd**2)).exp().sum(1).double().log() for sd in sds]
    scales = torch.tensor(sds, dtype=torch.double, device=x.device).unsqueeze(1)
    return torch.stack(sums) - 0.5 * nearest.double().mT / scales.square()
