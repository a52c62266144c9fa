"""The training loop: it knows phases, and nothing of methods."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from aebayes.compilation import compiled
from aebayes.devices import precision_found
from aebayes.errors import AebayesError, Interrupted
from aebayes.methods.base import Batch, Method, Phase
from aebayes.streams import Streams
from aebayes.tensors import SEAL, UNREADABLE, load_tensors, part_of, save_tensors
from aebayes.training.batches import Batches
from aebayes.training.history import History
from aebayes.training.optimisers import learning_rate, make_optimiser, runs_at
from aebayes.training.progress import Progress
from aebayes.training.state import load_optimiser_state, optimiser_state

TRACKED = "error"  # in %, of the images of one split
RESUMED = ("fingerprint", "step", "seconds", "processor_seconds")
EXIT_TIME_LIMIT = 75  # EX_TEMPFAIL of sysexits.h: try again later
# 128 + the signal, as shells report it.
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass
class Interruptions:
    """When to stop early.

    Args:
        time_limit: seconds from now, or None.
        save_every: seconds between two saved states.
    """

    time_limit: float | None = None
    save_every: float = 30.0
    received: signal.Signals | None = field(default=None, init=False)
    began: float = field(default_factory=time.monotonic, init=False)
    saved: float = field(default_factory=time.monotonic, init=False)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a wish to stop at the end of the step."""

        def note(number: int, _: object) -> None:
            self.received = signal.Signals(number)

        before = {name: signal.signal(name, note) for name in SIGNALS}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def reason_to_stop(self) -> tuple[str, int] | None:
        """Why to stop now, with the exit status that says so."""
        if self.received is not None:
            return f"was asked to stop ({self.received.name})", SIGNALS[self.received]
        if self.time_limit is not None and time.monotonic() - self.began > self.time_limit:
            return f"reached its time limit of {self.time_limit:g} s", EXIT_TIME_LIMIT
        return None

    def wants_save(self) -> bool:
        """Whether the state was last saved too long ago."""
        if time.monotonic() - self.saved < self.save_every:
            return False
        self.saved = time.monotonic()
        return True


Losses = Callable[..., tuple[torch.Tensor, ...]]
Slopes = Callable[..., tuple[tuple[torch.Tensor, ...], list[tuple[torch.Tensor, ...]]]]


def losses_and_gradients(
    losses_of: Losses, parameters: list[list[torch.nn.Parameter]], autocast: torch.autocast
) -> Slopes:
    """Losses (R,) of a minibatch and draws, and the gradients of each by its own parameters.

    All in one function: compiled, it is one graph, which keeps nothing for a later backward pass.
    """

    def slope(
        x: torch.Tensor, *draws: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], list[tuple[torch.Tensor, ...]]]:
        with autocast:
            losses = losses_of(x, *draws)
        last = len(losses) - 1
        gradients = [
            torch.autograd.grad(loss.sum(), own, retain_graph=number < last)
            for number, (loss, own) in enumerate(zip(losses, parameters, strict=True))
        ]
        return tuple(loss.detach() for loss in losses), gradients

    slope.__code__ = slope.__code__.replace()  # by which the compiler keeps what it made of it
    return slope


def loss_alone(phase: Phase) -> Losses:
    """A phase's loss in a tuple."""

    def losses_of(x: torch.Tensor, *draws: torch.Tensor) -> tuple[torch.Tensor]:
        return (phase.loss(x, *draws),)

    return losses_of


class Trainer:
    """One experiment in training: its method, optimisers, streams and history.

    Args:
        experiment: the resolved experiment; its `training` gives steps, phases, precision.
        resume: where the state is kept between an interruption and the next start.
        fingerprint: of all that the run depends on; a state with another one is not gone on from.
        track: what is measured for every line of the history, of each replica: (R,); its column is
            TRACKED.
    """

    def __init__(
        self,
        method: Method,
        batches: Batches,
        streams: Streams,
        experiment: dict,
        replicas: list[int],
        resume: Path,
        fingerprint: str,
        track: Callable[[], torch.Tensor] | None = None,
    ):
        self.name = experiment["name"]
        self.settings = experiment["training"]
        self.method = method
        self.batches = batches
        self.streams = streams
        self.resume = resume
        self.fingerprint = fingerprint
        self.phases = method.phases()
        self.captured = self.settings["compile"] and streams.device.type == "cuda"
        self.parameters = [phase.parameters() for phase in self.phases]
        bfloat16 = precision_found(self.settings["precision"], streams.device) == "bfloat16"
        self.autocast = torch.autocast(streams.device.type, torch.bfloat16, enabled=bfloat16)
        self.together = method.together() if self.settings.get("simultaneous") else None
        if self.together:
            self.slopes = [self.slope_of(self.together.losses, self.parameters)]
        else:
            self.slopes = [
                self.slope_of(loss_alone(phase), [parameters])
                for phase, parameters in zip(self.phases, self.parameters, strict=True)
            ]
        self.optimisers = [
            make_optimiser(
                parameters, self.settings["phases"][phase.name], self.settings["compile"]
            )
            for phase, parameters in zip(self.phases, self.parameters, strict=True)
        ]
        names = [phase.name for phase in self.phases]
        self.track = track
        columns = [*names, TRACKED] if track else names
        self.history = History(columns, replicas, self.settings["log_every"], streams.device)
        self.step = 0
        # Spent training, over all starts. The first counts pauses of the process, the second not.
        self.seconds, self.processor_seconds = 0.0, 0.0

    def slope_of(self, losses_of: Losses, parameters: list[list[torch.nn.Parameter]]) -> Slopes:
        """`losses_and_gradients`, compiled as the settings say."""
        slope = losses_and_gradients(losses_of, parameters, self.autocast)
        return compiled(slope, self.settings["compile"], self.captured)

    def run(self, interruptions: Interruptions) -> None:
        """Train to the last step, from the saved state if there is one.

        Raises:
            Interrupted: SIGTERM or the time limit; the state is saved.
            AebayesError: a loss is not finite.
        """
        self.load()
        began = time.monotonic() - self.seconds
        processor_began = time.process_time() - self.processor_seconds
        steps = self.settings["steps"]
        progress = Progress(self.name, self.step, steps)
        with interruptions.listening():
            while self.step < steps:
                self.train_step()
                self.step += 1
                self.seconds = time.monotonic() - began
                self.processor_seconds = time.process_time() - processor_began
                losses = None
                line = self.history.at_last_row or self.step == steps
                if line and self.track:
                    self.history.record(len(self.phases), self.track())
                self.history.advance()
                if line:
                    losses = self.history.flush(self.step, self.name)
                reason = interruptions.reason_to_stop() if self.step < steps else None
                if reason or interruptions.wants_save():
                    self.save()  # before anything is printed: who reads may be gone
                if losses:
                    progress.show(self.step, losses)
                if reason:
                    progress.close()
                    self.stop(*reason)
        progress.close()
        self.check_weights()

    def stop(self, why: str, status: int) -> None:
        """End an interrupted run whose state is saved."""
        raise Interrupted(
            f"experiment {self.name} {why} at step {self.step} of {self.settings['steps']}; "
            f"its state is in {self.resume}",
            "start it again: it goes on from there",
            status,
        )

    def check_weights(self) -> None:
        """The last step's losses came before its update: look at what that made.

        Raises:
            AebayesError: a weight is not finite.
        """
        for name, value in self.method.state_dict().items():
            if not value.isfinite().all():
                raise AebayesError(
                    f"experiment {self.name}: {name} is not finite after the last step",
                    f"lower the learning_rate of the phases of {self.name} in the study",
                    status=3,
                )

    def train_step(self) -> None:
        """Every phase whose span it is, as often as its settings repeat it, on its minibatches.

        The first time each phase sees the same minibatch, as in Algorithm 1 of AVB and section 2 of
        the AAE; a phase that is repeated goes on to further ones. Or all of them at once.
        """
        if self.together:
            self.descend_together(self.next_batch())
            return
        batches: list[Batch] = []
        for number, phase in enumerate(self.phases):
            settings = self.settings["phases"][phase.name]
            if not runs_at(settings, self.step, self.settings["steps"]):
                continue
            self.set_rate(number)
            for repeat in range(settings["repeats"]):
                if repeat == len(batches):
                    batches.append(self.next_batch())
                losses = self.descend(number, batches[repeat])
            self.history.record(number, losses)

    def next_batch(self) -> Batch:
        """The next minibatch, which knows how far the training is."""
        progress = torch.tensor(self.step / self.settings["steps"])
        return self.batches.next()._replace(progress=progress)

    def set_rate(self, number: int) -> None:
        """Give a phase's optimiser the learning rate of this step."""
        settings = self.settings["phases"][self.phases[number].name]
        rate = learning_rate(settings, self.step, self.settings["steps"])
        self.optimisers[number].param_groups[0]["lr"] = rate

    def descend(self, number: int, batch: Batch) -> torch.Tensor:
        """One step of the phase of this number on a minibatch; its losses, (R,)."""
        draws = self.phases[number].draw(batch, self.streams)
        (losses,), (gradients,) = self.evaluate(self.slopes[number], batch, draws)
        self.update(number, gradients)
        return losses

    def descend_together(self, batch: Batch) -> None:
        """One step of each phase, all by gradients at the parameters before it."""
        draws = self.together.draw(batch, self.streams)
        every = zip(*self.evaluate(self.slopes[0], batch, draws), strict=True)
        for number, (losses, gradients) in enumerate(every):
            self.set_rate(number)
            self.update(number, gradients)
            self.history.record(number, losses)

    def evaluate(
        self, slope: Slopes, batch: Batch, draws: tuple[torch.Tensor, ...]
    ) -> tuple[tuple[torch.Tensor, ...], list[tuple[torch.Tensor, ...]]]:
        """Losses and gradients."""
        if self.captured:  # the last step's losses and gradients are used
            torch.compiler.cudagraph_mark_step_begin()
        return slope(batch.x, *draws)

    def update(self, number: int, gradients: tuple[torch.Tensor, ...]) -> None:
        """Move a phase's parameters."""
        for parameter, gradient in zip(self.parameters[number], gradients, strict=True):
            parameter.grad = gradient
        with self.autocast:
            self.optimisers[number].step()

    def optimiser_tensors(self) -> dict[str, torch.Tensor]:
        """The state of every phase's optimiser, by name."""
        tensors = {}
        for phase, optimiser in zip(self.phases, self.optimisers, strict=True):
            tensors |= optimiser_state(optimiser, phase.name)
        return tensors

    def start_from(
        self, method: dict[str, torch.Tensor], optimisers: dict[str, torch.Tensor]
    ) -> None:
        """Take over networks and optimisers, as `state_dict` and `optimiser_tensors` gave them."""
        self.method.load_state_dict(method)
        for phase, optimiser in zip(self.phases, self.optimisers, strict=True):
            load_optimiser_state(optimiser, phase.name, optimisers)

    def save(self) -> None:
        """Replace the resume state by the present one."""
        tensors = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        tensors |= {f"optimiser.{name}": t for name, t in self.optimiser_tensors().items()}
        for part in ("batches", "history"):
            state = getattr(self, part).state()
            tensors |= {f"{part}.{name}": value for name, value in state.items()}
        tensors["streams"] = self.streams.state()
        about = {key: getattr(self, key) for key in RESUMED}
        save_tensors(self.resume, tensors, about, sealed=True)

    def load(self) -> None:
        """Go on from the resume state, if it is whole and of this very run."""
        try:
            tensors, about = load_tensors(self.resume, {*RESUMED, SEAL})
        except FileNotFoundError:
            return
        except UNREADABLE as problem:
            print(f"{self.name}: {self.resume} is unreadable ({problem}): starting from step 0")
            return
        if about["fingerprint"] != self.fingerprint:
            print(
                f"{self.name}: settings, data or code changed since {self.resume} was saved: "
                "starting from step 0"
            )
            return
        self.start_from(part_of(tensors, "method"), part_of(tensors, "optimiser"))
        self.batches.load_state(part_of(tensors, "batches"))
        self.history.load_state(part_of(tensors, "history"))
        self.streams.load_state(tensors["streams"])
        for key in RESUMED:
            setattr(self, key, about[key])
        print(f"{self.name}: going on from step {self.step}")
