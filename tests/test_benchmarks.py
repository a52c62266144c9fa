"""The benchmarks' steps still run: what they measure is the library as it is."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import library
import measure
import plain
import processes
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


def test_products_of_a_step_are_those_of_its_layers_forwards_and_back():
    """The first layer has one gradient, of its weights; the second has its inputs', too."""
    first, second = torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)
    x = torch.rand(11, 7)
    counted = measure.products(lambda: second(first(x).tanh()).sum().backward())
    assert counted == 2 * 11 * (2 * 7 * 5 + 3 * 5 * 3)


def test_a_training_steps_products_grow_with_k_as_its_decoders_do():
    def counted(k):
        step = library.training_step(library.experiment("iwae", SMALL, k), SMALL, CPU)
        return measure.products(step)

    decoder = 2 * 3 + 3 * 4
    assert counted(3) - counted(2) == 2 * SMALL.replicas * SMALL.batch * 3 * decoder


def test_every_step_is_taken_in_every_round_and_its_median_is_its_own(monkeypatch):
    clock, order = [0.0], []

    def step(name, seconds):
        def take():
            order.append(name)
            clock[0] += seconds[len(order) % len(seconds)]

        return take

    monkeypatch.setattr(measure, "stamp", lambda device: clock[0])
    steps = {"quick": step("quick", [1e-3]), "slow": step("slow", [4e-3])}
    medians = measure.interleaved(steps, 3, CPU, "title")
    assert medians == pytest.approx({"quick": 1.0, "slow": 4.0})
    turn = 1 + measure.STEPS_IN_A_TURN
    assert order == (["quick"] * turn + ["slow"] * turn) * (1 + 3)


def test_processes_are_counted_by_the_time_of_their_processors():
    rows = processes.measure("vae", 1, SMALL, 2, 1, "title")
    ways = [row[0] for row in rows]
    assert ways == ["together, 1 thread", "together, 2 threads", processes.APART]
    assert all(float(wall) > 0 and float(processor) > 0 for _, _, wall, processor, _ in rows)
