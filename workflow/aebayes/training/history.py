"""The losses of a run: kept on the device, looked at every so often, written as CSV.

A column may hold what else is measured, an error rate in %, once for every line.
"""

import csv
import io
import math

import torch
from torch import Tensor

from aebayes.errors import AebayesError


class History:
    """Losses by step, phase and replica.

    Each step's losses go to a buffer on the device, without synchronisation; `flush` brings them
    over, checks every one of them, and keeps their mean.

    Args:
        phases: the columns: the phases' names, and that of what else is measured.
        every: how many steps the buffer holds.
    """

    def __init__(self, phases: list[str], replicas: list[int], every: int, device: torch.device):
        self.phases = phases
        self.replicas = replicas
        self.buffer = torch.zeros(every, len(phases), len(replicas), device=device)
        self.ran = torch.zeros(every, len(phases), dtype=torch.bool)  # in steps not flushed yet
        self.filled = 0
        self.steps: list[int] = []
        self.means: list[Tensor] = []  # (phases, R) each

    def record(self, phase: int, losses: Tensor) -> None:
        """Keep this step's losses (R,) of one phase."""
        self.buffer[self.filled, phase] = losses
        self.ran[self.filled, phase] = True

    @property
    def at_last_row(self) -> bool:
        """Whether the step fills the buffer, which then wants `flush`."""
        return self.filled + 1 == len(self.buffer)

    def advance(self) -> None:
        """End the step."""
        self.filled += 1

    def flush(self, step: int, experiment: str) -> dict[str, float]:
        """Check and average what was recorded up to and with `step`; the mean loss by phase.

        A phase that ran in none of these steps is left out, and NaN in the CSV.

        Raises:
            AebayesError: a loss was not finite; names phase, step and replica.
        """
        ran = self.ran[: self.filled, :, None]
        losses = self.buffer[: self.filled].cpu().where(ran, 0.0)
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            row, phase, replica = bad[0].tolist()
            raise AebayesError(
                f"experiment {experiment}: the loss of phase {self.phases[phase]!r} is "
                f"{losses[row, phase, replica].item()} at step {step - self.filled + 1 + row}, "
                f"replica {self.replicas[replica]}",
                f"lower the learning_rate of the phases of {experiment} in the study, or train it "
                "in float32",
                status=3,
            )
        self.filled = 0
        self.steps.append(step)
        self.means.append(losses.double().sum(0) / ran.sum(0))  # NaN for a phase that never ran
        self.ran[:] = False
        shown = dict(zip(self.phases, self.means[-1].mean(1).tolist(), strict=True))
        return {phase: loss for phase, loss in shown.items() if not math.isnan(loss)}

    def csv(self) -> str:
        """One line per replica and log point: step, replica, then a column a phase and measure."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "replica", *self.phases])
        for step, means in zip(self.steps, self.means, strict=True):
            for replica, losses in zip(self.replicas, means.T.tolist(), strict=True):
                writer.writerow([step, replica, *(f"{loss:.6g}" for loss in losses)])
        return text.getvalue()

    def state(self) -> dict[str, Tensor]:
        """What `load_state` needs to go on; the buffer travels too, so a log point can straddle."""
        means = torch.stack(self.means) if self.means else torch.zeros(0, dtype=torch.double)
        return {
            "buffer": self.buffer[: self.filled],
            "ran": self.ran[: self.filled],
            "steps": torch.tensor(self.steps, dtype=torch.long),
            "means": means,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from where `state` was taken."""
        self.filled = len(state["buffer"])
        self.buffer[: self.filled] = state["buffer"].to(self.buffer.device)
        self.ran[: self.filled] = state["ran"].cpu()
        self.steps = state["steps"].tolist()
        self.means = list(state["means"])
