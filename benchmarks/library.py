"""The library's own steps, at any size: what is measured is what trains and evaluates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aebayes.compilation import compiled
from aebayes.data.dataset import Dataset
from aebayes.evaluation.likelihood import log_likelihood_bound
from aebayes.evaluation.proposals import Proposal, gaussian_log_weights
from aebayes.evaluation.sampled import IMAGES_AT_ONCE, proposals_for
from aebayes.methods.make import make_method
from aebayes.streams import Streams
from aebayes.training.run import make_trainer

SEED = 1
TRAINING_IMAGES = 10_000
PHASES = {
    "vae": ["bound"],
    "iwae": ["bound"],
    "aae": ["reconstruction", "discriminator", "generator"],
    "avb": ["bound", "adversary"],
    "avb_restricted": ["bound", "adversary"],
}


@dataclass(frozen=True)
class Size:
    """How large a step is: IWAE's one-layer nets and batch 100 unless told.

    Args:
        pixels: X.
        hidden: widths of the hidden layers, everywhere.
        latent: Z.
        batch: B, for each replica.
        replicas: R.
    """

    pixels: int = 784
    hidden: tuple[int, ...] = (200, 200)
    latent: int = 50
    batch: int = 100
    replicas: int = 1


def made_images(count: int, pixels: int) -> Tensor:
    """Binary images (N, X), uint8: an eighth of the pixels is set, as in MNIST."""
    return torch.from_numpy(np.random.default_rng(SEED).random((count, pixels)) < 1 / 8).byte()


def experiment(
    method: str,
    size: Size,
    k: int = 1,
    precision: str = "float32",
    compile: bool = False,
    optimiser: str = "adam",
    simultaneous: bool = False,
    **objective: object,
) -> dict:
    """A resolved experiment.

    Args:
        k: samples an image in the bound.
        optimiser: of every phase.
        simultaneous: all phases' gradients first, then their steps.
        objective: further keys of IWAE's `objective`.
    """
    layers = {"hidden": list(size.hidden), "activation": "tanh"}
    encoder = {"kind": "noise", "noise": size.latent} if method == "avb" else {"kind": "gaussian"}
    descent = {"learning_rate": 1e-3, "betas": [0.9, 0.999], "epsilon": 1e-8}
    return {
        "name": method,
        "method": method,
        "binarisation": "none",
        "model": {
            "latent": size.latent,
            "encoder": {**encoder, **layers},
            "decoder": layers,
            "likelihood": "bernoulli",
            "initialisation": "glorot_uniform",
            "output_bias": "data_mean",
        },
        "objective": {
            "samples": k,
            "kl": "analytic",
            "weighting": "importance",
            "generator_loss": "non_saturating",
            **objective,
        },
        "adversary": {**layers, "features": size.hidden[-1]},
        "training": {
            "seed": SEED,
            "batch": size.batch,
            "steps": 1_000_000,
            "precision": precision,
            "compile": compile,
            "log_every": 100,
            "simultaneous": simultaneous,
            "phases": {
                name: {"optimiser": optimiser, **descent, "schedule": "constant", "repeats": 1}
                for name in PHASES[method]
            },
        },
    }


def training_step(experiment: dict, size: Size, device: torch.device) -> Callable[[], None]:
    """One step of the library's training loop."""
    x = made_images(TRAINING_IMAGES, size.pixels).unflatten(1, (1, 1, -1)).numpy()
    split = {"train": (x, np.zeros(len(x), np.int64))}
    dataset = Dataset("made", x.shape[1:], 1, 1, "", split)
    replicas = list(range(size.replicas))
    trainer = make_trainer(experiment, dataset, replicas, device, Path("never-saved"), "")

    def step() -> None:
        trainer.train_step()
        trainer.step += 1
        full = trainer.history.at_last_row
        trainer.history.advance()
        if full:
            trainer.history.flush(trainer.step, trainer.name)

    return step


def evaluation_step(
    experiment: dict, size: Size, k: int, device: torch.device
) -> Callable[[], Tensor]:
    """L_k of a batch of images, as `evaluate` computes it: (R, B).

    A black-box encoder's proposals are given Gaussians, which evaluation fits beforehand.
    """
    replicas = list(range(size.replicas))
    x = made_images(size.batch, size.pixels).float().to(device).expand(size.replicas, -1, -1)
    method = make_method(experiment, x[0].mean(0).cpu(), replicas, device)
    streams = Streams(SEED, replicas, "evaluation", device)
    compile = experiment["training"]["compile"]
    if method.model.encoder.has_density:
        propose = proposals_for(method.model, streams, compile)
    else:
        propose = given_gaussians(method.model, compile)

    def step() -> Tensor:
        parts = x.split(IMAGES_AT_ONCE[method.model.encoder.has_density], 1)
        return torch.cat([log_likelihood_bound(propose(part), k, streams) for part in parts], 1)

    return step


def given_gaussians(model: torch.nn.Module, compile: bool) -> Callable[[Tensor], Proposal]:
    """Proposals N(0, ¼ I) written with a full factor, as fitted ones are."""
    log_weights = compiled(partial(gaussian_log_weights, model), compile)

    def propose(x: Tensor) -> Proposal:
        mean = x.new_zeros(*x.shape[:2], model.latent)
        factor = 0.5 * torch.eye(model.latent, device=x.device).expand(*mean.shape, -1)
        return Proposal(x, model.latent, log_weights, (mean, factor.contiguous()))

    return propose
