"""What a person sees while an experiment trains."""

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 20


class Progress:
    """A bar on a terminal; elsewhere (logs, batch queues) a plain line every so often."""

    def __init__(self, experiment: str, start: int, steps: int):
        self.experiment = experiment
        self.steps = steps
        self.start = start
        self.began = self.last_line = time.monotonic()
        self.bar = tqdm(
            total=steps,
            initial=start,
            desc=experiment,
            unit="step",
            disable=not sys.stderr.isatty(),
            mininterval=0.5,
        )

    def show(self, step: int, losses: dict[str, float]) -> None:
        """Report that `step` steps are done, with the latest mean losses."""
        shown = {name: f"{loss:.4f}" for name, loss in losses.items()}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(step - self.bar.n)
        now = time.monotonic()
        if self.bar.disable and (
            now - self.last_line > SECONDS_BETWEEN_LINES or step == self.steps
        ):
            self.last_line = now
            rate = (step - self.start) / max(now - self.began, 1e-9)
            print(
                f"{self.experiment}: step {step}/{self.steps}, "
                + ", ".join(f"{name} {loss}" for name, loss in shown.items())
                + f", {rate:.1f} steps/s, {(self.steps - step) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leave the terminal tidy."""
        self.bar.close()
