"""Annealed importance sampling of log p(x), by Hamiltonian Monte Carlo, in nats per image.

Neal 2001; Wu et al. 2016 (arXiv:1611.04273). A proposal makes a code from noise ε ~ N(0, I) and
weighs it by w(ε) = p(x, z) / r(z|x), so that p(x) = E w(ε). The path between N(ε; 0, I) and the
posterior is f_β(ε) ∝ N(ε; 0, I) w(ε)^β: whatever r is, the encoder's, a fitted Gaussian or the
prior, its shape and scale are already in the noise, where the chains move.

Chains that start from N(0, I) give a stochastic lower bound on log p(x). On images that the model
itself made, chains that start from the exact posterior and go the other way give an upper one
(Grosse et al. 2015, arXiv:1511.02543): how far apart the two are is what annealing leaves open.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aebayes.evaluation.proposals import Proposal
from aebayes.streams import Streams

SIGMOID_REACH = 4.0  # Wu et al.'s δ: temperatures change least where chains first feel the image
FIRST_STEP = 0.5
ADAPTATION_RATE = 0.3

Slope = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Ladder:
    """The temperatures and moves of an annealing.

    Args:
        temperatures: T; β goes from 0 to 1 in as many steps.
        schedule: "linear" or "sigmoid" in t / T.
        leapfrog: steps of a trajectory.
        acceptance: what the burn-in aims the step size at.
        burn_in: temperatures of the annealing before, which finds step sizes and is thrown away.
    """

    temperatures: int
    schedule: str
    leapfrog: int
    acceptance: float
    burn_in: int

    def betas(self, count: int) -> list[float]:
        """0 = β_0 < … < β_count = 1."""
        shares = torch.linspace(0, 1, count + 1, dtype=torch.double)
        if self.schedule == "sigmoid":
            shares = torch.sigmoid(SIGMOID_REACH * (2 * shares - 1))
            shares = (shares - shares[0]) / (shares[-1] - shares[0])
        return shares.tolist()


@dataclass(frozen=True)
class Annealed:
    """Where chains ended.

    Args:
        log_weights: of each chain, (R, C, B), double precision.
        acceptance: share of trajectories that were accepted, (R, B).
    """

    log_weights: Tensor
    acceptance: Tensor

    @property
    def log_mean_weight(self) -> Tensor:
        """log of the mean weight of an image's chains: (R, B)."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])


def slope_of(proposal: Proposal) -> Slope:
    """log w and its gradient at noise (R, C, B, N): (R, C, B), (R, C, B, N)."""

    def slope(noise: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            noise = noise.detach().requires_grad_()
            log_weights = proposal.log_weights(proposal.x, *proposal.tensors, noise)
            (gradient,) = torch.autograd.grad(log_weights.sum(), [noise])
        return log_weights.detach(), gradient

    return slope


@dataclass
class Chains:
    """Chains in the noise of a proposal, with log w and its gradient where they are.

    Args:
        noise: (R, C, B, N).
        slope: log w and its gradient there.
    """

    noise: Tensor
    slope: Slope

    def __post_init__(self):
        self.log_weight, self.gradient = self.slope(self.noise)

    def move(self, beta: float, step: Tensor, leapfrog: int, streams: Streams) -> Tensor:
        """One trajectory of Hamiltonian Monte Carlo, which leaves f_β invariant.

        A trajectory whose energy is not finite is not taken.

        Args:
            step: size of each image's leapfrog steps, (R, 1, B, 1).

        Returns:
            Which chains moved, (R, C, B).
        """
        start = self.noise
        momentum = streams.normal(*start.shape[1:])
        noise, log_weight, gradient = start, self.log_weight, self.gradient
        before = self.energy(noise, log_weight, momentum, beta)
        momentum = momentum + 0.5 * step * (beta * gradient - noise)
        for number in range(leapfrog):
            noise = noise + step * momentum
            log_weight, gradient = self.slope(noise)
            last = number == leapfrog - 1
            momentum = momentum + (0.5 if last else 1.0) * step * (beta * gradient - noise)
        change = before - self.energy(noise, log_weight, momentum, beta)
        moved = streams.uniform(*change.shape[1:]).log() < change  # false where it is not a number
        self.noise = torch.where(moved.unsqueeze(-1), noise, start)
        self.gradient = torch.where(moved.unsqueeze(-1), gradient, self.gradient)
        self.log_weight = torch.where(moved, log_weight, self.log_weight)
        return moved

    @staticmethod
    def energy(noise: Tensor, log_weight: Tensor, momentum: Tensor, beta: float) -> Tensor:
        """−log f_β(ε) − log N(momentum; 0, I), up to a constant: (R, C, B)."""
        return 0.5 * (noise.square() + momentum.square()).sum(-1) - beta * log_weight


def anneal(
    chains: Chains,
    betas: Sequence[float],
    steps: Callable[[int], Tensor],
    leapfrog: int,
    streams: Streams,
    watch: Callable[[int, Tensor], None] = lambda number, moved: None,
) -> Annealed:
    """Carry chains along temperatures, 0 to 1 or 1 to 0, and add up log w(ε) (β' − β).

    Args:
        steps: number of the temperature that is reached -> step sizes, (R, 1, B, 1).
        watch: told after each move which chains moved, (R, C, B).
    """
    log_weights = torch.zeros_like(chains.log_weight, dtype=torch.double)
    accepted = torch.zeros_like(log_weights)
    last = len(betas) - 1
    for number in range(1, last + 1):
        log_weights += (betas[number] - betas[number - 1]) * chains.log_weight.double()
        if number < last:
            moved = chains.move(betas[number], steps(number), leapfrog, streams)
            accepted += moved
            watch(number, moved)
    return Annealed(log_weights, accepted.mean(1) / max(1, last - 1))


def step_sizes(slope: Slope, start: Tensor, ladder: Ladder, streams: Streams) -> Tensor:
    """Each image's step size by temperature, from an annealing of its own: (burn_in, R, 1, B, 1).

    After every move the logarithm of an image's step goes by how far the share of its chains that
    moved is from the wanted one. The annealing that counts takes these steps as given: weights of
    chains whose steps depend on the chains would not be unbiased.

    Args:
        start: noise of the chains, (R, C, B, N).
    """
    replicas, _, images, _ = start.shape
    log_step = torch.full((replicas, 1, images, 1), math.log(FIRST_STEP), device=start.device)
    found = [log_step.exp()]

    def adapt(number: int, moved: Tensor) -> None:
        share = moved.float().mean(1, keepdim=True).unsqueeze(-1)
        found.append(found[-1] * (ADAPTATION_RATE * (share - ladder.acceptance)).exp())

    anneal(
        Chains(start, slope),
        ladder.betas(ladder.burn_in),
        lambda number: found[-1],
        ladder.leapfrog,
        streams,
        adapt,
    )
    return torch.stack(found)


def annealed(
    proposal: Proposal,
    ladder: Ladder,
    chains: int,
    streams: Streams,
    posterior_noise: Tensor | None = None,
) -> tuple[Annealed, Annealed | None]:
    """Anneal chains for images, from the proposal to the posterior, and back.

    Args:
        proposal: of the images (R, B, X).
        chains: C, for each image.
        posterior_noise: a draw from each image's posterior, (R, B, N), as only images that the
            model made can have.

    Returns:
        The chains from the proposal, whose log mean weight is below log p(x) in expectation; and
        those from `posterior_noise` back, the negative of whose log mean weight is above it.
    """
    slope = slope_of(proposal)
    images = proposal.x.shape[1]
    found = step_sizes(slope, streams.normal(chains, images, proposal.dimensions), ladder, streams)
    betas = ladder.betas(ladder.temperatures)
    last = len(betas) - 1

    def steps(number: int) -> Tensor:
        return found[round((len(found) - 1) * number / last)]

    start = streams.normal(chains, images, proposal.dimensions)
    forward = anneal(Chains(start, slope), betas, steps, ladder.leapfrog, streams)
    if posterior_noise is None:
        return forward, None
    start = posterior_noise.unsqueeze(1).expand(-1, chains, -1, -1)
    backward = anneal(
        Chains(start, slope),
        betas[::-1],
        lambda number: steps(last - number),
        ladder.leapfrog,
        streams,
    )
    return forward, backward
