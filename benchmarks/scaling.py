"""How the cost of a training step and of evaluating L_k grows with its sizes.

IWAE's one-layer nets, one size varied at a time. Writes scaling.csv, scaling.png and scaling.pdf to
benchmarks/results/.

    uv run python benchmarks/scaling.py
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import library
import numpy as np
import torch
from library import Size
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from measure import RESULTS, ROUNDS, Step, interleaved, machine, write_csv

from aebayes.devices import use_device
from aebayes.figures import style

HEADER = ["task", "against", "value", "median_ms", "exponent", "machine"]
POINTS_OF_EXPONENT = 3  # the largest: below them a step's fixed costs show
K, IMAGES = 5, 100  # what is not varied


def training(k: int = K, **size: int) -> Callable[[bool, torch.device], Step]:
    """A training step of IWAE, of a size that differs from the usual."""

    def make(compile: bool, device: torch.device) -> Step:
        changed = replace(Size(), **size)
        settings = library.experiment("iwae", changed, k, compile=compile)
        return library.training_step(settings, changed, device)

    return make


def evaluation(k: int = 50, images: int = IMAGES) -> Callable[[bool, torch.device], Step]:
    """L_k of so many images."""

    def make(compile: bool, device: torch.device) -> Step:
        size = Size(batch=images)
        settings = library.experiment("iwae", size, compile=compile)
        return library.evaluation_step(settings, size, k, device)

    return make


@dataclass(frozen=True)
class Sweep:
    """One size, and the steps at its values.

    Args:
        others: the sizes that stay.
    """

    task: str
    against: str
    values: Sequence[int]
    make: Callable[[int], Callable[[bool, torch.device], Step]]
    others: str


SWEEPS = [
    Sweep("training", "k", (1, 2, 5, 10, 20, 50), lambda n: training(n), "batch 100"),
    Sweep("training", "batch", (10, 30, 100, 300, 1000), lambda n: training(batch=n), "k = 5"),
    Sweep("training", "replicas", (1, 2, 3, 5, 8), lambda n: training(replicas=n), "k = 5"),
    Sweep("training", "latent size", (2, 10, 50, 250, 1000), lambda n: training(latent=n), "k = 5"),
    Sweep("evaluation", "k", (1, 5, 20, 100, 500), lambda n: evaluation(n), "100 images"),
    Sweep(
        "evaluation", "images", (20, 40, 100, 200, 400), lambda n: evaluation(images=n), "k = 50"
    ),
]


@dataclass(frozen=True)
class Curve:
    """A sweep's medians in milliseconds, in the order of its values."""

    sweep: Sweep
    medians: Sequence[float]

    @property
    def exponent(self) -> float:
        """Slope of log cost against log size, over the largest sizes."""
        largest = slice(-POINTS_OF_EXPONENT, None)
        logs = np.log(self.sweep.values[largest]), np.log(self.medians[largest])
        return float(np.polyfit(*logs, 1)[0])


def measure(sweep: Sweep, compile: bool, rounds: int, device: torch.device) -> Curve:
    """All sizes of a sweep, in turn."""
    torch.compiler.reset()
    steps = {str(value): sweep.make(value)(compile, device) for value in sweep.values}
    medians = interleaved(steps, rounds, device, f"{sweep.task} against {sweep.against}")
    curve = Curve(sweep, list(medians.values()))
    print(f"{sweep.task} against {sweep.against}: exponent {curve.exponent:.2f}")
    return curve


def draw(curves: Sequence[Curve]) -> Figure:
    """A panel a sweep, both axes logarithmic, a line of its exponent's slope."""
    figure = style.new_figure(4.0)
    for axes, curve in zip(figure.subplots(3, 2).flat, curves, strict=True):
        show(axes, curve)
    style.note(figure, f"grey: power law of the {POINTS_OF_EXPONENT} largest")
    return figure


def show(axes: Axes, curve: Curve) -> None:
    """One sweep's medians, and its exponent."""
    sweep = curve.sweep
    x, y = np.array(sweep.values), np.array(curve.medians)
    axes.plot(x, y[-1] * (x / x[-1]) ** curve.exponent, color=style.PALE, zorder=0)
    axes.plot(x, y, "o-", color="#0072b2", markersize=3)
    axes.set(xscale="log", yscale="log", xlabel=sweep.against)
    axes.set_xticks(x, map(str, x))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("ms")
    axes.set_title(f"{sweep.task}, {sweep.others}")
    axes.text(0.05, 0.9, f"exponent {curve.exponent:.2f}", transform=axes.transAxes, va="top")
    axes.spines[["top", "right"]].set_visible(False)


@click.command()
@click.option("--rounds", default=ROUNDS, help="Turns of each step; 3 steps are timed in a turn.")
@click.option("--threads", default=1)
@click.option("--device", default="auto", help="auto, cpu or cuda.")
@click.option("--compile", is_flag=True, help="Compile each size first, which takes minutes.")
@click.option("--out", default=RESULTS, type=click.Path(path_type=Path), help="The folder.")
def main(rounds: int, threads: int, device: str, compile: bool, out: Path) -> None:
    """Measure every sweep, and write table and figure."""
    where = use_device(device, threads)
    curves = [measure(sweep, compile, rounds, where) for sweep in SWEEPS]
    rows = [
        [c.sweep.task, c.sweep.against, value, f"{ms:.3f}", f"{c.exponent:.3f}", machine(where)]
        for c in curves
        for value, ms in zip(c.sweep.values, c.medians, strict=True)
    ]
    write_csv(out / "scaling.csv", HEADER, rows)
    foot = f"float32, {'' if compile else 'not '}compiled, {threads} thread{'s'[: threads > 1]}"
    with style.applied():
        style.save(draw(curves), foot, out / "scaling")


if __name__ == "__main__":
    main()
