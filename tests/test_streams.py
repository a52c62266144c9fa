import torch

from aebayes.streams import Streams


def test_streams_of_replicas_do_not_depend_on_their_neighbours():
    together, alone = Streams(1, [0, 1, 2], "training"), Streams(1, [1], "training")
    for draw in ("normal", "uniform"):
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
