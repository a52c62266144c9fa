import math

import torch

from aebayes.streams import Streams
from aebayes.training.batches import Batches, bernoulli_thresholds


def test_every_image_is_used_once_an_epoch():
    x = torch.arange(12, dtype=torch.uint8).unsqueeze(1)
    batches = Batches(x, 1, 4, False, Streams(0, [0, 1], "training"))
    for _ in range(2):
        epoch = torch.cat([batches.next() for _ in range(3)], 1).squeeze(-1)
        assert all(sorted(row.tolist()) == list(range(12)) for row in epoch)
    assert not torch.equal(epoch[0], epoch[1])


def test_a_set_smaller_than_a_batch_is_repeated_evenly():
    batches = Batches(torch.eye(4, dtype=torch.uint8), 1, 8, False, Streams(0, [0], "training"))
    assert torch.equal(batches.next()[0].sum(0), torch.full((4,), 2.0))


def test_dynamic_binarisation_draws_each_pixel_anew_with_its_intensity():
    x = torch.full((10, 50), 64, dtype=torch.uint8)
    batches = Batches(x, 255, 10, True, Streams(0, [0], "training"))
    draws = torch.stack([batches.next()[0] for _ in range(40)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(draws[0], draws[1])
    p = 64 / 255
    assert abs(draws.mean() - p) < 4 * math.sqrt(p * (1 - p) / draws.numel())


def test_thresholds_give_every_intensity_its_probability():
    x = torch.arange(256, dtype=torch.uint8)
    draws = torch.arange(-32768, 32768, dtype=torch.int32)  # every value that int16 can take
    thresholds = bernoulli_thresholds(x, 255)
    found = (draws < thresholds.unsqueeze(1)).double().mean(1)
    assert (found - x.double() / 255).abs().max() <= 1 / 65536
