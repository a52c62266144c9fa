import math

import torch

from aebayes.streams import Streams
from aebayes.training.batches import Batches, bernoulli_thresholds


def test_every_image_is_used_once_an_epoch():
    x = torch.arange(12, dtype=torch.uint8).unsqueeze(1)
    batches = Batches(x, torch.arange(12) % 5, 1, 4, False, Streams(0, [0, 1], "training"))
    for _ in range(2):
        parts = [batches.next() for _ in range(3)]
        epoch = torch.cat([part.x for part in parts], 1).squeeze(-1)
        labels = torch.cat([part.labels for part in parts], 1)
        assert torch.equal(labels, epoch.long() % 5)  # each image's own
        assert all(sorted(row.tolist()) == list(range(12)) for row in epoch)
    assert not torch.equal(epoch[0], epoch[1])


def test_a_set_smaller_than_a_batch_is_repeated_evenly():
    x, labels = torch.eye(4, dtype=torch.uint8), torch.arange(4)
    batch = Batches(x, labels, 1, 8, False, Streams(0, [0], "training")).next()
    assert torch.equal(batch.x[0].sum(0), torch.full((4,), 2.0))
    assert torch.equal(batch.labels, batch.x.argmax(-1))


def test_dynamic_binarisation_draws_each_pixel_anew_with_its_intensity():
    x = torch.full((10, 50), 64, dtype=torch.uint8)
    labels = torch.zeros(10, dtype=torch.int64)
    batches = Batches(x, labels, 255, 10, True, Streams(0, [0], "training"))
    draws = torch.stack([batches.next().x[0] for _ in range(40)])
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


def test_labelled_minibatches_come_from_each_replicas_own_images():
    x = torch.arange(12, dtype=torch.uint8).unsqueeze(1)
    known = torch.tensor([[0, 3, 5, 7], [1, 2, 8, 11]])
    hidden = torch.full((2, 12), 5).scatter(1, known, known % 5)
    streams = Streams(0, [0, 1], "training")
    batches = Batches(x, hidden, 1, 2, False, streams, known)
    parts = [batches.next() for _ in range(4)]
    for first, second in (parts[:2], parts[2:]):  # all of them in two minibatches, again and again
        both = torch.cat([first.labelled.x, second.labelled.x], 1).squeeze(-1).long()
        assert torch.equal(both.sort(1).values, known)
        labels = torch.cat([first.labelled.labels, second.labelled.labels], 1)
        assert torch.equal(labels, both % 5)
    assert not torch.equal(parts[0].labelled.x, parts[2].labelled.x)


def test_fewer_labelled_images_than_a_batch_come_all_at_once():
    x = torch.arange(12, dtype=torch.uint8).unsqueeze(1)
    known = torch.tensor([[4, 9]])
    batches = Batches(x, torch.arange(12), 1, 6, False, Streams(0, [0], "training"), known)
    for _ in range(3):
        assert batches.next().labelled.x.flatten().tolist() == [4, 9]
