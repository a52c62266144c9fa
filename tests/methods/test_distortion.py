"""Distorted images against what can be said of them without sampling."""

import math

import pytest
import torch

from aebayes.methods.distortion import SMOOTH, Distortion, smooth_noise
from aebayes.streams import Streams


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))


def distorted(x: torch.Tensor, *by: float) -> torch.Tensor:
    """Every image (R, B, C, H, W) by the same rotation, shear, zooms and shifts."""
    by = torch.tensor(by, dtype=torch.float32).expand(*x.shape[:2], 6)
    return Distortion(x.shape[2:]).distort(x.flatten(2), by).view_as(x)


@pytest.mark.parametrize("shape", [(1, 5, 5), (3, 4, 7)])
def test_by_nothing_an_image_stays_as_it_is(shape):
    x = pictures(*shape)
    torch.testing.assert_close(distorted(x, 0, 0, 0, 0, 0, 0), x, atol=1e-5, rtol=0)


def test_a_quarter_turn_is_clockwise():
    x = pictures(2, 6, 6)
    turned = distorted(x, math.pi / 2, 0, 0, 0, 0, 0)
    torch.testing.assert_close(turned, torch.rot90(x, -1, (-2, -1)), atol=1e-5, rtol=0)


def test_a_half_turn_of_an_image_that_is_no_square_swaps_both_axes():
    x = pictures(1, 4, 9)
    turned = distorted(x, math.pi, 0, 0, 0, 0, 0)
    torch.testing.assert_close(turned, x.flip(-1, -2), atol=1e-5, rtol=0)


def test_a_shift_goes_right_and_down_and_leaves_black_behind():
    x = pictures(1, 6, 8)
    shifted = distorted(x, 0, 0, 0, 0, 2, 1)
    expected = torch.zeros_like(x)
    expected[..., 1:, 2:] = x[..., :-1, :-2]
    torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=0)


def test_a_map_of_all_at_once_puts_points_where_its_matrices_do():
    """A bright spot is turned, sheared, zoomed, then shifted: its middle follows the product."""
    angle, shear, across, along, right, down = 0.4, 0.3, 0.2, -0.1, 3.0, -4.0
    at = torch.tensor([9.0, -7.0], dtype=torch.float64)  # right and down from the middle
    x, y = (torch.arange(side) - side // 2 for side in (65, 49))
    spot = torch.exp(-((y[:, None] - at[1]) ** 2 + (x - at[0]) ** 2) / 8).float()
    image = distorted(spot.view(1, 1, 1, 49, 65), angle, shear, across, along, right, down)
    image = image[0, 0, 0].double()
    middle = torch.stack([(image.sum(0) * x).sum(), (image.sum(1) * y).sum()]) / image.sum()
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    turn, slant = torch.tensor([turn, [[1, shear], [0, 1]]], dtype=torch.float64)
    zoom = torch.tensor([[1 + across, 0], [0, 1 + along]], dtype=torch.float64)
    expected = zoom @ slant @ turn @ at + torch.tensor([right, down], dtype=torch.float64)
    torch.testing.assert_close(middle, expected, atol=0.02, rtol=0)


def test_draws_fill_their_ranges_and_a_replica_has_its_own_whatever_its_neighbours():
    distortion = Distortion((1, 8, 8), rotation=10, shear=0.3, zoom=0.2, shift=2)
    seen = []
    distortion.distort = lambda x, by, bend: seen.append(by) or x
    x = torch.zeros(2, 4000, 64)
    distortion(x, Streams(1, [0, 1], "test"))
    distortion(x[:1], Streams(1, [1], "test"))
    both, second = seen
    assert torch.equal(both[1:], second) and not torch.equal(both[0], both[1])
    most = torch.tensor([math.radians(10), 0.3, 0.2, 0.2, 2, 2])
    assert (both.abs() <= most).all()
    # U[-1, 1) has a deviation of 3^-1/2, the mean of its squares one of (4 / 45)^1/2.
    assert ((both / most).mean((0, 1)).abs() < 4 / math.sqrt(3 * 8000)).all()
    assert (((both / most) ** 2).mean((0, 1)) - 1 / 3).abs().max() < 4 * math.sqrt(4 / 45 / 8000)
    # No two alike: a correlation of n independent pairs has a deviation of n^-1/2.
    apart = torch.corrcoef(both.flatten(0, 1).T) - torch.eye(6)
    assert apart.abs().max() < 4.5 / math.sqrt(8000)


def test_a_bend_says_from_how_far_away_each_pixel_is_read():
    x = pictures(1, 6, 8)
    bend = torch.zeros(2, 3, 2, 6, 8)
    bend[:, :, 0, :, :5], bend[:, :, 1, :, :5] = -2, 1  # the left of it, from two left and one down
    bent = Distortion((1, 6, 8)).distort(x.flatten(2), torch.zeros(2, 3, 6), bend).view_as(x)
    expected = x.clone()
    expected[..., :5] = 0
    expected[..., :-1, 2:5] = x[..., 1:, :3]
    torch.testing.assert_close(bent, expected, atol=1e-5, rtol=0)


def test_a_bend_comes_before_the_turn():
    x = pictures(1, 6, 6)
    bend = torch.zeros(2, 3, 2, 6, 6)
    bend[:, :, 0] = 1  # each from its right neighbour, wherever the turn then puts it
    by = torch.tensor([math.pi / 2, 0, 0, 0, 0, 0]).expand(2, 3, 6)
    bent = Distortion((1, 6, 6)).distort(x.flatten(2), by, bend).view_as(x)
    moved = torch.zeros_like(x)
    moved[..., :-1] = x[..., 1:]
    torch.testing.assert_close(bent, torch.rot90(moved, -1, (-2, -1)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [8, 20, 28, 64])
def test_smooth_noise_has_variance_1_and_the_windows_correlation(side):
    """White noise under a Gaussian window of deviation s is correlated as exp(−d² / 4 s²)."""
    columns = smooth_noise(side, SMOOTH)
    apart = torch.arange(side)
    expected = (-(((apart[:, None] - apart) / (2 * SMOOTH)) ** 2)).exp()
    torch.testing.assert_close(columns.square().sum(1), torch.ones(side))
    assert (columns @ columns.mT - expected).abs().max() < 0.03  # what the expansion leaves out


def test_elastic_draws_have_their_deviation_and_correlation():
    distortion = Distortion((1, 20, 28), elastic=1.4)
    count = 4000
    bend = distortion.bend(count, Streams(1, [0], "test"))[0] / 1.4
    assert bend.shape == (count, 2, 20, 28)
    far = 4.5 * math.sqrt(2 / count)  # a product of two N(0, 1) has a variance of at most 2
    for places, length in (((slice(None), 0, 3), 28), ((slice(None), 1, slice(None), 9), 20)):
        along, columns = bend[places], smooth_noise(length, SMOOTH)
        assert (along.mT @ along / count - columns @ columns.mT).abs().max() < far
    x_and_y = (bend[:, 0] * bend[:, 1]).mean(0)
    assert x_and_y.abs().max() < 4.5 / math.sqrt(count)


def test_elastic_distortions_are_drawn_anew_and_a_replica_has_its_own():
    distortion = Distortion((1, 8, 8), elastic=1.0)
    x = pictures(1, 8, 8).flatten(2)[:, :1].expand(2, 2, 64)
    both = distortion(x, Streams(1, [0, 1], "test"))
    assert torch.equal(both[1:], distortion(x[1:], Streams(1, [1], "test")))
    assert not torch.equal(both[0, 0], both[0, 1])
