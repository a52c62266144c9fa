import pytest
import torch
from torch import Tensor

from aebayes.compilation import compiler_found
from aebayes.tensors import load_tensors, save_tensors
from aebayes.training import soap
from aebayes.training.soap import SOAP
from aebayes.training.state import load_optimiser_state, optimiser_state

SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.98), "eps": 1e-12}
# Steps and rates are float32 scalars: 1 - 0.98^t is off by 3e-6 of itself at t = 1, half that in
# its root, and each of the 40 steps is about the learning rate long, whatever the path's length.
ROUNDING = {"rtol": 0, "atol": 40 * 1e-2 * 3e-6 / 2}


def orthogonal(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def gradients(steps: int, *shape: int, seed: int = 0) -> Tensor:
    """Gradients with covariances far from the axes and from the identity."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, *shape, generator=generator, dtype=torch.float64)
    spread = torch.logspace(0, 1.5, shape[-1], dtype=torch.float64)
    return (noise * spread) @ orthogonal(shape[-1], 9)


def descend(all_gradients: Tensor, make=SOAP, **settings) -> Tensor:
    """Where zeros are led by these gradients, (steps, *shape) -> shape."""
    parameter = torch.nn.Parameter(torch.zeros_like(all_gradients[0]))
    optimiser = make([parameter], **(SETTINGS | settings))
    for gradient in all_gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(2, 1, 7), (2, 7, 1)])
def test_vectors_get_adam(shape):
    steps = torch.randn(40, *shape, dtype=torch.float64)
    torch.testing.assert_close(descend(steps), descend(steps, torch.optim.Adam), **ROUNDING)


def test_sides_too_long_get_adam(monkeypatch):
    monkeypatch.setattr(soap, "LONGEST", 3)
    steps = gradients(40, 1, 4, 5)
    torch.testing.assert_close(descend(steps), descend(steps, torch.optim.Adam), **ROUNDING)


def test_path_turns_with_the_axes():
    steps = gradients(60, 1, 6, 6)  # square: the first one's covariances have full rank
    left, right = orthogonal(6, 1), orthogonal(6, 2)
    turned = descend(left @ steps @ right)
    torch.testing.assert_close(turned, left @ descend(steps) @ right)
    adam = descend(left @ steps @ right, torch.optim.Adam)
    straight = left @ descend(steps, torch.optim.Adam) @ right
    assert (adam - straight).abs().max() > 0.01  # what sets it apart from Adam


def test_a_long_side_keeps_its_axes_while_the_other_turns(monkeypatch):
    monkeypatch.setattr(soap, "LONGEST", 5)
    steps = gradients(60, 1, 4, 6)
    left = orthogonal(4, 1)
    torch.testing.assert_close(descend(left @ steps), left @ descend(steps))
    permuted = torch.randperm(6)
    torch.testing.assert_close(descend(steps[..., permuted]), descend(steps)[..., permuted])


def test_basis_finds_the_eigenvectors_of_the_covariance():
    parameter = torch.nn.Parameter(torch.zeros(1, 3, 4, dtype=torch.float64))
    optimiser = SOAP([parameter], **SETTINGS)
    vectors = orthogonal(4, 3)
    values = torch.tensor([3.0, 1.0, 0.3, 0.1], dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    for _ in range(1500):
        noise = torch.randn(1, 3, 4, generator=generator, dtype=torch.float64)
        parameter.grad = (noise * values) @ vectors.mT
        optimiser.step()
    cosines = (optimiser.state[parameter]["right_basis"][0].mT @ vectors).abs()
    assert (cosines.diagonal() > 0.95).all()


def test_replicas_do_not_mix():
    steps = gradients(40, 3, 5, 4)
    together = descend(steps)
    for replica in range(3):
        alone = descend(steps[:, replica : replica + 1])
        torch.testing.assert_close(together[replica : replica + 1], alone)


def test_goes_on_from_a_saved_state_byte_for_byte(tmp_path):
    steps = gradients(60, 2, 5, 4).float()
    whole = descend(steps)
    parameter = torch.nn.Parameter(torch.zeros_like(steps[0]))
    optimiser = SOAP([parameter], **SETTINGS)
    for number, gradient in enumerate(steps):
        if number == 33:
            save_tensors(tmp_path / "state", optimiser_state(optimiser, "p"), {})
            saved, _ = load_tensors(tmp_path / "state", set())
            optimiser = SOAP([parameter], **SETTINGS)
            load_optimiser_state(optimiser, "p", saved)
        parameter.grad = gradient.clone()
        optimiser.step()
    assert torch.equal(parameter, whole)


@pytest.mark.skipif(not compiler_found(), reason="no C++ compiler on this machine")
def test_compiled_it_takes_the_same_path():
    steps = gradients(40, 2, 5, 4)
    torch.testing.assert_close(descend(steps, compile=True), descend(steps))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_ill_conditioned_regression_is_left_nearer_its_least_squares_solution_than_by_adam(
    bfloat16,
):
    generator = torch.Generator().manual_seed(2)
    spread = torch.logspace(0, -2, 20)
    inputs = torch.randn(500, 20, generator=generator) * spread @ orthogonal(20, 4).float()
    targets = inputs @ torch.randn(20, 10, generator=generator)  # the least loss is 0
    losses = {}
    for make in (SOAP, torch.optim.Adam):
        weight = torch.nn.Parameter(torch.zeros(1, 20, 10))
        optimiser = make([weight], lr=3e-2, betas=(0.9, 0.98), eps=1e-8)
        for _ in range(400):
            loss = (inputs @ weight[0] - targets).square().mean()
            weight.grad = torch.autograd.grad(loss, weight)[0]
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                optimiser.step()
        losses[make] = loss.item()
    assert losses[SOAP] < 0.1 * losses[torch.optim.Adam]
