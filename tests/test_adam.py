"""Adam against torch's own."""

import pytest
import torch

from aebayes.adam import Adam
from aebayes.tensors import load_tensors, save_tensors
from aebayes.training.state import load_optimiser_state, optimiser_state

SETTINGS = {"lr": 0.01, "betas": (0.5, 0.99), "eps": 1e-4}
SHAPES = [(2, 5, 4), (2, 4)]


def gradients(steps: int) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(steps)]


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]


def descend(optimiser, steps: list[list[torch.Tensor]], first: int = 0) -> None:
    for number, step in enumerate(steps, first):
        optimiser.param_groups[0]["lr"] = SETTINGS["lr"] / (1 + number)
        for parameter, gradient in zip(optimiser.param_groups[0]["params"], step, strict=True):
            parameter.grad = gradient
        optimiser.step()


def fused(values: list[torch.nn.Parameter], **settings) -> torch.optim.Adam:
    return torch.optim.Adam(values, **settings, fused=True)


def test_its_steps_are_torchs_to_the_last_bit():
    ours, torchs = parameters(), parameters()
    descend(Adam(ours, **SETTINGS), gradients(50))
    descend(fused(torchs, **SETTINGS), gradients(50))
    assert all(map(torch.equal, ours, torchs))
    assert not torch.equal(ours[0], parameters()[0])


@pytest.mark.parametrize("make", [Adam, fused])
def test_goes_on_from_a_saved_state_byte_for_byte(make, tmp_path):
    """Also from one that torch's Adam saved, as earlier checkpoints hold."""
    whole, moved = parameters(), parameters()
    descend(Adam(whole, **SETTINGS), gradients(40))
    first = make(moved, **SETTINGS)
    descend(first, gradients(40)[:20])
    save_tensors(tmp_path / "state", optimiser_state(first, "p"), {})
    saved, _ = load_tensors(tmp_path / "state", set())
    second = Adam(moved, **SETTINGS)
    load_optimiser_state(second, "p", saved)
    descend(second, gradients(40)[20:], first=20)
    assert all(map(torch.equal, moved, whole))
