"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner. Vyas et al. 2024, arXiv:2409.11321."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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

    Args:
        betas: decay of the first moment, and of the second as of the covariances.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ):
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, group)

    def update(self, parameter: Tensor, group: dict) -> None:
        """One step of one stack of matrices, (R, m, n)."""
        state, gradient = self.state[parameter], parameter.grad
        sides = [side for side in SIDES if 1 < parameter.shape[side.axis] <= LONGEST]
        if 1 in parameter.shape[-2:]:
            sides = []
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            for side in sides:
                products = side.products(gradient)
                state[side.covariance] = (1 - group["betas"][1]) * products
                state[side.basis] = torch.linalg.eigh(products)[1]
            if sides:  # in its own eigenvectors this gradient is diagonal: no scale for the rest
                return
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = group["betas"]

        rotated = gradient
        for side in sides:
            state[side.covariance].lerp_(side.products(gradient), 1 - beta2)
            rotated = side.rotate(rotated, state[side.basis])
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(rotated, 1 - beta1)
        square.mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
        scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        change = mean / scale
        for side in sides:
            change = side.rotate(change, state[side.basis].mT)
        parameter.add_(change, alpha=-group["lr"] / (1 - beta1**step))

        if step % REFRESH == 0 or (step < REFRESH and step.bit_count() == 1):
            for side in sides:
                refresh(state, side)


def refresh(state: dict[str, Tensor], side: Side) -> None:
    """Turn a basis towards its covariance's eigenvectors, largest first, and the moments with it.

    One step of orthogonal iteration. The first moment is turned exactly; the second, a diagonal,
    only follows its axes' order, as in the paper.
    """
    basis = state[side.basis]
    images = state[side.covariance] @ basis
    order = (basis * images).sum(-2).argsort(dim=-1, descending=True, stable=True)  # (R, m)
    turned = torch.linalg.qr(torch.take_along_dim(images, order.unsqueeze(-2), -1))[0]
    state["exp_avg"] = side.rotate(state["exp_avg"], basis.mT @ turned)
    state["exp_avg_sq"] = side.reorder(state["exp_avg_sq"], order)
    state[side.basis] = turned
