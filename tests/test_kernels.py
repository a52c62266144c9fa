import math

import pytest
import torch
from torch import Tensor

from aebayes.evaluation.match import mmd_squared as streamed
from aebayes.kernels import mmd_squared

WIDTHS = [0.7, 2.0]


def sample(seed: int, mean: float, n: int, sets: int = 1) -> Tensor:
    return mean + torch.randn(sets, n, 2, generator=torch.Generator().manual_seed(seed))


def kernel_mean(shift: float, width: float) -> float:
    """E exp(−‖x − y‖² / 2w²), x ~ N(0, I), y ~ N(shift, I), two dimensions."""
    total = width**2 + 2
    return width**2 / total * math.exp(-(shift**2) / total)


def truth(shift: float) -> float:
    return sum(2 * (kernel_mean(0, width) - kernel_mean(shift, width)) for width in WIDTHS)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_unbiased_estimate_has_the_closed_form_as_its_mean(shift):
    found = mmd_squared(sample(1, 0, 60, 400), sample(2, shift, 50, 400), WIDTHS, unbiased=True)
    assert abs(found.mean() - truth(shift)) < 4 * found.std() / math.sqrt(len(found))


def test_biased_estimate_is_a_squared_norm_and_exceeds_by_what_a_point_has_with_itself():
    p, q = sample(3, 0, 20), sample(4, 0, 30)
    biased = mmd_squared(p, q, WIDTHS, unbiased=False)
    assert biased > 0
    assert mmd_squared(p, p.flip(1), WIDTHS, unbiased=False).abs() < 1e-6
    # Each of the two means over n points has n kernels of value 1 in it, for each width.
    unbiased = mmd_squared(p, q, WIDTHS, unbiased=True)
    within = mmd_squared(p, 1e4 + p, WIDTHS, unbiased=True)  # far apart: twice the mean kernel
    within_q = mmd_squared(q, 1e4 + q, WIDTHS, unbiased=True)
    excess = (len(WIDTHS) - within / 2) / 20 + (len(WIDTHS) - within_q / 2) / 30
    torch.testing.assert_close(biased - unbiased, excess, atol=1e-5, rtol=0)


def test_evaluations_streamed_double_precision_agrees():
    p, q = sample(5, 0, 40, 2), sample(6, 1, 30, 2)
    found = mmd_squared(p, q, [1.3], unbiased=True)
    expected = [streamed(a, b, 1.3) for a, b in zip(p, q, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_products_of_bfloat16_do_not_blur_it():
    p, q = 30 + sample(7, 0, 40), 30 + sample(8, 0.1, 40)
    plain = mmd_squared(p, q, WIDTHS, unbiased=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mmd_squared(p, q, WIDTHS, unbiased=True), plain)


def test_descent_leads_one_sample_onto_the_other():
    generator = torch.Generator().manual_seed(9)
    spread = torch.tensor([1.0, 0.3])
    target, fresh = (3 + spread * torch.randn(1, 500, 2, generator=generator) for _ in range(2))
    moved = torch.randn(1, 500, 2, generator=generator).requires_grad_()
    before = mmd_squared(moved.detach(), fresh, [1.0], unbiased=True)
    optimiser = torch.optim.Adam([moved], lr=0.03)
    for _ in range(300):
        loss = mmd_squared(moved, target, [0.5, 2.0, 8.0], unbiased=False).sum()
        moved.grad = torch.autograd.grad(loss, moved)[0]
        optimiser.step()
    after = mmd_squared(moved.detach(), fresh, [1.0], unbiased=True)
    assert after < 0.03 * before
