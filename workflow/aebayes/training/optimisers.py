"""Optimisers and learning-rate schedules, from an experiment's phase settings."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aebayes.adam import Adam
from aebayes.training.soap import SOAP

Schedule = Callable[[float], float]
Optimiser = torch.optim.Optimizer | Adam
WHOLE = (0, 1)  # the span of a phase that runs all the time


def constant(progress: float) -> float:
    """No change."""
    return 1.0


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine. Loshchilov & Hutter 2017."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def iwae_stages(progress: float) -> float:
    """Eight stages of 3^i epochs at 10^(−i/7), i = 0 … 7. Burda et al. 2015, section 5."""
    ends = [sum(3**j for j in range(i + 1)) / 3280 for i in range(8)]
    stage = next((i for i, end in enumerate(ends) if progress < end), 7)
    return 10 ** (-stage / 7)


def late_decay(progress: float) -> float:
    """1 for the first half, then linearly to 0.01: games settle as their steps shrink."""
    return 1.0 if progress < 0.5 else 1.0 - 0.99 * (2 * progress - 1)


def multi_step(milestones: Sequence[float]) -> Schedule:
    """A tenth of what it was from each milestone on, a share of the training."""
    return lambda progress: 0.1 ** sum(progress >= milestone for milestone in milestones)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "iwae_stages": iwae_stages,
    "late_decay": late_decay,
}


def make_optimiser(
    parameters: list[nn.Parameter], settings: dict, compile: bool = False
) -> Optimiser:
    """The optimiser that a phase's settings name; in none of them do replicas mix.

    Args:
        compile: what torch has no fused kernel for.
    """
    if settings["optimiser"] == "soap":
        return SOAP(
            parameters,
            lr=settings["learning_rate"],
            betas=tuple(settings["betas"]),
            eps=settings["epsilon"],
            compile=compile,
        )
    if settings["optimiser"] == "adam":
        return Adam(
            parameters,
            lr=settings["learning_rate"],
            betas=tuple(settings["betas"]),
            eps=settings["epsilon"],
        )
    return torch.optim.SGD(
        parameters, lr=settings["learning_rate"], momentum=settings["momentum"], fused=True
    )


def runs_at(settings: dict, step: int, steps: int) -> bool:
    """Whether a phase runs in a step, counted from 0: whether that lies in its span."""
    start, end = settings.get("span", WHOLE)
    return start * steps <= step < end * steps


def learning_rate(settings: dict, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0; schedules run over the phase's span."""
    start, end = settings.get("span", WHOLE)
    progress = (step - start * steps) / ((end - start) * steps)
    if settings["schedule"] == "multi_step":
        schedule = multi_step(settings["milestones"])
    else:
        schedule = SCHEDULES[settings["schedule"]]
    return settings["learning_rate"] * schedule(progress)
