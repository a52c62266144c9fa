"""The benchmarks' steps still run: what they measure is the library as it is."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import library
import plain
import replicas
from library import Size

SMALL = Size(pixels=4, hidden=(3,), latent=2, batch=5, replicas=2)
CPU = torch.device("cpu")


@pytest.mark.parametrize("optimiser", ["adam", "soap"])
@pytest.mark.parametrize("method", list(library.PHASES))
def test_training_step_of_the_library_changes_every_network(monkeypatch, method, optimiser):
    made = []
    make = library.make_trainer
    monkeypatch.setattr(library, "make_trainer", lambda *all: made.append(make(*all)) or made[0])
    step = library.training_step(
        library.experiment(method, SMALL, 3, optimiser=optimiser), SMALL, CPU
    )
    before = {name: value.clone() for name, value in made[0].method.state_dict().items()}
    for _ in range(3):
        step()
    after = made[0].method.state_dict()
    assert not any(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("method", list(library.PHASES))
def test_evaluation_step_of_the_library_gives_a_bound_an_image(method):
    bounds = library.evaluation_step(library.experiment(method, SMALL), SMALL, 7, CPU)()
    assert bounds.shape == (2, 5)
    assert bounds.isfinite().all()


@pytest.mark.parametrize("model", ["VAE", "IWAE", "AAE", "AVB"])
def test_textbook_loop_runs_beside_it(model):
    plain.training_step(model, SMALL, 3, CPU)()
    plain.evaluation_step(model, SMALL, 3, CPU)()


@pytest.mark.parametrize(("model", "each"), [("VAE", 1), ("IWAE", 1), ("AAE", 3), ("AVB", 2)])
def test_textbook_loop_takes_the_optimiser_that_is_asked_for(model, each):
    made = []

    def optimiser(parameters):
        made.append(torch.optim.SGD(parameters, lr=0.1))
        return made[-1]

    plain.training_step(model, SMALL, 3, CPU, optimiser)()
    assert len(made) == SMALL.replicas * each


@pytest.mark.parametrize("way", list(replicas.WAYS))
def test_ways_to_train_replicas_give_a_gradient(way):
    gradients = replicas.WAYS[way](4, [3], 2, 2)(torch.rand(2, 5, 4))
    parts = gradients.values() if isinstance(gradients, dict) else gradients
    for part in parts:
        for gradient in [part] if isinstance(part, torch.Tensor) else part:
            assert gradient.isfinite().all()
            assert gradient.abs().sum() > 0
