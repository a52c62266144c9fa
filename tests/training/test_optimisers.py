from itertools import pairwise

import pytest

from aebayes.training.optimisers import SCHEDULES, iwae_stages, learning_rate


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_schedules_start_at_the_learning_rate_and_never_rise(name):
    settings = {"learning_rate": 0.1, "schedule": name}
    rates = [learning_rate(settings, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1)
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] > 0


def test_iwae_stages_are_three_to_the_i_epochs_long():
    epochs = [iwae_stages((epoch + 0.5) / 3280) for epoch in range(3280)]
    lengths = [epochs.count(rate) for rate in sorted(set(epochs), reverse=True)]
    assert lengths == [1, 3, 9, 27, 81, 243, 729, 2187]
    assert epochs[-1] == pytest.approx(0.1)


def test_multi_step_takes_a_tenth_at_each_share_of_the_training():
    settings = {"learning_rate": 0.1, "schedule": "multi_step", "milestones": [0.05, 0.5]}
    rates = [learning_rate(settings, step, 1000) for step in (0, 49, 50, 499, 500, 999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
