import torch

from aebayes.streams import Streams


def test_streams_of_replicas_do_not_depend_on_their_neighbours():
    together, alone = Streams(1, [0, 1, 2], "training"), Streams(1, [1], "training")
    for draw in ("normal", "uniform", "int16"):
        assert torch.equal(getattr(together, draw)(5, 3)[1], getattr(alone, draw)(5, 3)[0])
    assert torch.equal(together.permutation(9)[1], alone.permutation(9)[0])


def test_streams_differ_between_replicas_purposes_and_seeds():
    draws = [
        Streams(seed, [replica], purpose).normal(4)
        for seed in (0, 1)
        for replica in (0, 1)
        for purpose in ("training", "evaluation")
    ]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == len(draws)


def test_saved_state_goes_on_with_the_same_numbers():
    streams = Streams(0, [0, 1], "training")
    streams.normal(3)
    state = streams.state()
    expected = streams.normal(3)
    other = Streams(5, [0, 1], "training")
    other.load_state(state)
    assert torch.equal(other.normal(3), expected)


def test_int16_draws_cover_their_range_uniformly():
    draws = Streams(0, [0, 1], "training").int16(1000, 33).double()
    assert draws.shape == (2, 1000, 33)
    n = draws.numel()
    assert abs(draws.mean() + 0.5) < 4 * (65536 / 12**0.5) / n**0.5
    # The mean square of a uniform over ±2¹⁵ is 2³⁰/3, with relative standard error √(0.8/n).
    assert abs(draws.square().mean() / (2**30 / 3) - 1) < 4 * (0.8 / n) ** 0.5
