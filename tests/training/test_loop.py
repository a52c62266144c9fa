from pathlib import Path

import pytest
import tiny
import torch

from aebayes.methods.base import Method, Phase
from aebayes.methods.make import make_method
from aebayes.streams import Streams
from aebayes.training.batches import Batches
from aebayes.training.loop import Trainer

REPLICAS = [0, 1]
CPU = torch.device("cpu")


class Counted(Method):
    """Two phases, each pulling a number towards the batch, that remember their batches."""

    def __init__(self):
        super().__init__()
        self.networks = torch.nn.ModuleDict(
            {name: torch.nn.ParameterList([torch.zeros(2)]) for name in ("once", "thrice")}
        )
        self.seen = []

    def phases(self):
        return [
            Phase(name, self.loss_of(name), [self.networks[name]], lambda x, streams: ())
            for name in self.networks
        ]

    def loss_of(self, name):
        def loss(x):
            self.seen.append((name, x))
            return (x.mean((1, 2)) - self.networks[name][0]).square()

        return loss


def trainer(method, experiment, labelled=None):
    x = torch.randint(0, 256, (64, 4), generator=torch.Generator().manual_seed(0))
    streams = Streams(1, REPLICAS, "training")
    labels = torch.zeros(64, dtype=torch.int64)
    batches = Batches(x.byte(), labels, 255, 16, False, streams, labelled)
    return Trainer(method, batches, streams, experiment, REPLICAS, Path("unused"), "")


def test_phases_share_a_steps_batch_and_repeats_go_on_to_new_ones():
    method = Counted()
    phases = {"once": tiny.ADAM, "thrice": tiny.ADAM | {"repeats": 3}}
    training = trainer(method, tiny.experiment(phases=phases))
    for _ in range(2):
        training.train_step()
    assert [name for name, _ in method.seen] == 2 * ["once", "thrice", "thrice", "thrice"]
    assert torch.equal(method.seen[0][1], method.seen[1][1])
    assert torch.equal(method.seen[4][1], method.seen[5][1])
    batches = [x for name, x in method.seen if name == "thrice"]
    assert not any(
        torch.equal(batches[i], batches[j]) for i in range(len(batches)) for j in range(i)
    )
    # Adam's first steps are the learning rate long, whatever the gradient, and all point one way.
    for name, steps in (("once", 2), ("thrice", 6)):
        moved = method.networks[name][0].detach()
        torch.testing.assert_close(moved, torch.full((2,), steps * 1e-3), rtol=0.02, atol=0)


def test_phases_run_in_their_spans_and_are_nan_in_the_history_elsewhere(tmp_path):
    method = Counted()
    phases = {"once": {"span": [0, 0.3]}, "thrice": {"span": [0.5, 1]}}
    phases = {name: tiny.ADAM | settings for name, settings in phases.items()}
    experiment = tiny.experiment(phases=phases, steps=10, log_every=5)
    training = trainer(method, experiment)
    rates = []
    for step in range(10):
        training.step = step
        training.train_step()
        rates.append(training.optimisers[1].param_groups[0]["lr"])
        full = training.history.at_last_row
        training.history.advance()
        if full:
            shown = training.history.flush(step + 1, "test")
            assert list(shown) == (["once"] if step == 4 else ["thrice"])
    assert [name for name, _ in method.seen] == 3 * ["once"] + 5 * ["thrice"]
    assert rates[5] == pytest.approx(tiny.ADAM["learning_rate"])  # its schedule begins there
    lines = training.history.csv().splitlines()
    assert [line.split(",")[3] for line in lines[1:3]] == ["nan", "nan"]
    assert [line.split(",")[2] for line in lines[3:]] == ["nan", "nan"]
    once = [(x.mean((1, 2))) for name, x in method.seen if name == "once"]
    first = float(lines[1].split(",")[2])
    # Adam's steps are the learning rate long: the three losses' mean, to their digits in the file.
    rate = tiny.ADAM["learning_rate"]
    expected = sum((once[i][0] - i * rate) ** 2 for i in range(3)) / 3
    assert first == pytest.approx(float(expected), rel=1e-2)


MOVING = ["vae", "iwae", "avb", "avb_restricted", "aae", "categorical_aae", "m2", "classifier"]


@pytest.mark.parametrize("name", MOVING)
def test_step_of_a_phase_moves_its_own_networks_and_leaves_every_other_without_gradient(name):
    experiment = tiny.experiment(name)
    if name == "categorical_aae":
        experiment["model"]["decoder"] = tiny.LAYERS | {"heads_apart": 3.0}
        experiment["training"]["phases"]["heads"] = tiny.ADAM
    method = make_method(experiment, torch.zeros(1, 2, 2), REPLICAS, CPU)
    training = trainer(method, experiment, torch.arange(20).expand(len(REPLICAS), -1))
    for number, phase in enumerate(training.phases):
        method.zero_grad(set_to_none=True)
        before = {key: value.detach().clone() for key, value in method.named_parameters()}
        training.descend(number, training.next_batch())
        own = {id(parameter) for parameter in phase.parameters()}
        for key, parameter in method.named_parameters():
            assert torch.equal(parameter, before[key]) != (id(parameter) in own), key
            assert (parameter.grad is None) != (id(parameter) in own), key


@pytest.mark.parametrize("name", tiny.EXPERIMENTS)
def test_losses_and_gradients_of_a_phase_compile_as_one_graph(name):
    experiment = tiny.experiment(name)
    method = make_method(experiment, torch.zeros(1, 2, 2), REPLICAS, CPU)
    labelled = torch.arange(20).expand(len(REPLICAS), -1)
    training = trainer(method, experiment, labelled)
    at_once = [training.together] if training.together else training.phases
    for part, slope in zip(at_once, training.slopes, strict=True):
        batch = training.next_batch()
        arguments = batch.x, *part.draw(batch, training.streams)
        with torch._dynamo.config.patch(trace_autograd_ops=True):
            graph = torch.compile(slope, fullgraph=True, backend="aot_eager", dynamic=False)
            torch.testing.assert_close(graph(*arguments), slope(*arguments))


@pytest.mark.parametrize("name", ["avb_together", "avb_restricted"])
def test_phases_together_have_the_losses_and_gradients_of_each_alone(name):
    experiment = tiny.experiment(name, simultaneous=True)
    method = make_method(experiment, torch.zeros(1, 2, 2), REPLICAS, CPU)
    training = trainer(method, experiment)
    training.step = 10  # in the warm-up
    batch = training.next_batch()
    state = training.streams.state()
    noise, contrast, *weight = training.together.draw(batch, training.streams)
    training.streams.load_state(state)
    alone = method.phases()[1].draw(batch, training.streams)
    assert torch.equal(noise, alone[0]) and torch.equal(contrast, alone[1])
    bound, adversary = method.phases()
    losses = bound.loss(batch.x, noise, *weight), adversary.loss(batch.x, noise, contrast)
    found = training.slopes[0](batch.x, noise, contrast, *weight)
    torch.testing.assert_close(found[0], losses)
    for phase, loss, gradients in zip((bound, adversary), losses, found[1], strict=True):
        expected = torch.autograd.grad(loss.sum(), phase.parameters())
        torch.testing.assert_close(gradients, expected)
        assert all(gradient.any() for gradient in gradients)


def test_phases_together_step_from_the_same_parameters_with_their_own_rates():
    descent = {"optimiser": "sgd", "momentum": 0.0, "schedule": "constant", "repeats": 1}
    rates = {"bound": 0.1, "adversary": 0.3}
    phases = {name: descent | {"learning_rate": rate} for name, rate in rates.items()}
    experiment = tiny.experiment("avb_together", phases=phases)
    method = make_method(experiment, torch.zeros(1, 2, 2), REPLICAS, CPU)
    training = trainer(method, experiment)
    state, position = training.streams.state(), training.batches.order.position
    batch = training.next_batch()
    arguments = batch.x, *training.together.draw(batch, training.streams)
    _, slopes = training.slopes[0](*arguments)  # of parameters that no phase has moved
    expected = [
        [
            (p - rates[phase.name] * slope).detach()
            for p, slope in zip(phase.parameters(), own, strict=True)
        ]
        for phase, own in zip(training.phases, slopes, strict=True)
    ]
    training.streams.load_state(state)
    training.batches.order.position = position
    training.train_step()
    for phase, parameters in zip(training.phases, expected, strict=True):
        torch.testing.assert_close([p.detach() for p in phase.parameters()], parameters)
    assert training.batches.order.position == 16  # one minibatch
