"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner. Vyas et al. 2024, arXiv:2409.11321."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aebayes.compilation import compiled

LONGEST = 256  # a longer side (the pixels) keeps its axes: its products would cost more than a step
REFRESH = 25  # steps between two refreshed bases, each a QR decomposition a side


@dataclass(frozen=True)
class Side:
    """One side of the matrices G in a stack of shape (R, m, n), by the names of its state."""

    covariance: str
    basis: str
    axis: int

    def products(self, gradient: Tensor) -> Tensor:
        """G Gᵀ, (R, m, m), or Gᵀ G, (R, n, n)."""
        return gradient @ gradient.mT if self.axis == -2 else gradient.mT @ gradient

    def rotate(self, matrices: Tensor, basis: Tensor) -> Tensor:
        """From the weights' axes to those of `basis`; its transpose leads back."""
        return basis.mT @ matrices if self.axis == -2 else matrices @ basis

    def reorder(self, matrices: Tensor, order: Tensor) -> Tensor:
        """Rows or columns in another order, (R, m) or (R, n)."""
        along = order.unsqueeze(-1 if self.axis == -2 else -2)
        return torch.take_along_dim(matrices, along, self.axis)


SIDES = (Side("left", "left_basis", -2), Side("right", "right_basis", -1))


class SOAP(torch.optim.Optimizer):
    """Algorithm 3 of Vyas et al., for stacks of matrices, each in its own basis: none mix.

    Per matrix with gradient G, the covariances of its rows and columns, E[G Gᵀ] and E[Gᵀ G], are
    running means; Adam's moments live in the axes of their eigenvectors, which one step of
    orthogonal iteration follows every `REFRESH` steps, and at every power of two before. The first
    gradient only gives the first basis. Vectors (R, 1, n) and sides longer than `LONGEST` keep
    their axes: for them it is Adam.

    Under autocast the products of a step are bfloat16's, what the gradients are made of then; the
    bases are always refreshed in the parameters' own type.

    Args:
        betas: decay of the first moment, and of the second as of the covariances.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        compile: bool = False,
    ):
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})
        self.move = compiled(move, compile)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None and self.begun(p, group)]
            lr = torch.tensor(group["lr"])  # else compiled code would be of one learning rate
            states = [self.state[parameter] for parameter in moving]
            go = self.move if len(moving) == len(group["params"]) else move  # once: not compiled
            go(moving, [p.grad for p in moving], states, lr, group["betas"], group["eps"])
            for parameter, state in zip(moving, states, strict=True):
                step = int(state["step"])
                if step % REFRESH == 0 or (step < REFRESH and step.bit_count() == 1):
                    refresh(state, sides_of(parameter))

    def begun(self, parameter: Tensor, group: dict) -> bool:
        """Whether a gradient is to move this parameter; its first only begins the state."""
        state, gradient, sides = self.state[parameter], parameter.grad, sides_of(parameter)
        if state:
            return True
        state["step"] = torch.tensor(0.0)
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
        with torch.autocast(gradient.device.type, enabled=False):
            for side in sides:
                products = side.products(gradient)
                state[side.covariance] = (1 - group["betas"][1]) * products
                # As the saved state has it: products of another layout round otherwise.
                state[side.basis] = torch.linalg.eigh(products)[1].contiguous()
        # In its own eigenvectors this gradient is diagonal: no scale for the rest.
        return not sides


def sides_of(parameter: Tensor) -> list[Side]:
    """The sides of a stack of matrices, (R, m, n), that get a basis."""
    if 1 in parameter.shape[-2:]:
        return []
    return [side for side in SIDES if parameter.shape[side.axis] <= LONGEST]


def move(
    parameters: list[Tensor],
    gradients: list[Tensor],
    states: list[dict[str, Tensor]],
    lr: Tensor,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """One step of Adam for each stack of matrices, in the bases of its state."""
    beta1, beta2 = betas
    for parameter, gradient, state in zip(parameters, gradients, states, strict=True):
        sides = sides_of(parameter)
        state["step"] += 1
        rotated = gradient
        for side in sides:
            state[side.covariance].lerp_(side.products(gradient).type_as(gradient), 1 - beta2)
            rotated = side.rotate(rotated, state[side.basis])
        rotated = rotated.type_as(gradient)
        mean, square, step = state["exp_avg"], state["exp_avg_sq"], state["step"]
        mean.lerp_(rotated, 1 - beta1)
        square.mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
        change = mean / ((square / (1 - beta2**step)).sqrt() + eps)
        for side in sides:
            change = side.rotate(change, state[side.basis].mT)
        parameter.sub_(change.type_as(parameter) * (lr / (1 - beta1**step)))


def refresh(state: dict[str, Tensor], sides: list[Side]) -> None:
    """Turn bases towards their covariances' eigenvectors, largest first, and the moments with them.

    One step of orthogonal iteration. The first moment is turned exactly; the second, a diagonal,
    only follows its axes' order, as in the paper.
    """
    for side in sides:
        with torch.autocast(state[side.basis].device.type, enabled=False):
            basis = state[side.basis]
            images = state[side.covariance] @ basis
            order = (basis * images).sum(-2).argsort(dim=-1, descending=True, stable=True)  # (R, m)
            images = torch.take_along_dim(images, order.unsqueeze(-2), -1)
            turned = torch.linalg.qr(images)[0].contiguous()
            state["exp_avg"] = side.rotate(state["exp_avg"], basis.mT @ turned)
            state["exp_avg_sq"] = side.reorder(state["exp_avg_sq"], order)
            state[side.basis] = turned
