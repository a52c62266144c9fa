import numpy as np
import pytest

from aebayes.data.splits import hold_out


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 7, 1000)


@pytest.mark.parametrize("count", [0, 1, 6, 7, 100, 999, 1000])
def test_parts_are_disjoint_whole_and_of_the_size_asked_for(labels, count):
    kept, held = hold_out(labels, count, 0)
    assert len(held) == count
    assert sorted([*kept, *held]) == list(range(1000))
    assert np.all(np.diff(kept) > 0) and np.all(np.diff(held) > 0)


def test_each_class_gives_its_share_within_one(labels):
    _, held = hold_out(labels, 150, 0)
    expected = np.bincount(labels) * 150 / 1000
    assert np.all(np.abs(np.bincount(labels[held], minlength=7) - expected) < 1)


def test_places_left_over_go_to_the_largest_remainders():
    labels = np.repeat([0, 1, 2], [5, 3, 2])  # shares of 4: 2, 1.2, 0.8
    assert np.bincount(labels[hold_out(labels, 4, 0)[1]]).tolist() == [2, 1, 1]


def test_another_seed_chooses_others(labels):
    assert not np.array_equal(hold_out(labels, 150, 0)[1], hold_out(labels, 150, 1)[1])


def test_choice_is_the_one_of_pcg64s_raw_stream():
    keys = [int(key) for key in np.random.PCG64(5).random_raw(6)]
    labels = np.array([0, 1, 0, 1, 0, 1])
    smallest = [min(items, key=lambda i: keys[i]) for items in ((0, 2, 4), (1, 3, 5))]
    assert hold_out(labels, 2, 5)[1].tolist() == sorted(smallest)
