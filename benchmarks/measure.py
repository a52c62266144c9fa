"""Timings that can be compared: every step in its turn, over and over."""

import csv
import io
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import trange

from aebayes.devices import device_name
from aebayes.files import write_text
from aebayes.provenance import processor

RESULTS = Path(__file__).parent / "results"
ROUNDS = 12
STEPS_IN_A_TURN = 3
SQUARE = 2048  # rows and columns of the product that stands for the machine's rate

Step = Callable[[], object]


def interleaved(
    steps: Mapping[str, Step], rounds: int, device: torch.device, title: str
) -> dict[str, float]:
    """Median milliseconds of each step, all of them in turn in every round.

    What slows the machine for a while slows all of them. A turn's first step is not timed: it
    brings its own data back into the caches.
    """
    for step in steps.values():  # what is compiled is compiled here
        turn(step, device)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in trange(rounds, desc=title, leave=False):
        for name, step in steps.items():
            times[name] += turn(step, device)
    return {name: statistics.median(values) for name, values in times.items()}


def turn(step: Step, device: torch.device) -> list[float]:
    """Milliseconds of a few steps, one after the other.

    On a GPU between events of its own queue, which is waited for at the end alone: as in training,
    the next step is sent while one computes.
    """
    step()
    stamps = [stamp(device)]
    for _ in range(STEPS_IN_A_TURN):
        step()
        stamps.append(stamp(device))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return [begin.elapsed_time(end) for begin, end in pairwise(stamps)]
    return [1e3 * (end - begin) for begin, end in pairwise(stamps)]


def stamp(device: torch.device) -> torch.cuda.Event | float:
    """This moment: an event in the GPU's queue, or seconds."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def square_product(device: torch.device, dtype: torch.dtype = torch.float32) -> Step:
    """A product of two square matrices."""
    a, b = torch.rand(2, SQUARE, SQUARE, device=device).to(dtype)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def square_flops() -> int:
    """Multiplications and additions of `square_product`."""
    return 2 * SQUARE**3


def products(step: Step) -> int:
    """Multiplications and additions in all matrix products of a step, by their operands' sizes.

    A layer of I inputs and O outputs counts 2·B·I·O forwards and as much again for each of its two
    gradients that is computed. Of a step that is not compiled.
    """
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def machine(device: torch.device) -> str:
    """Processor, threads and torch, as every line of a result names them."""
    threads = torch.get_num_threads()
    name = device_name(device) if device.type == "cuda" else processor()
    return f"{name}, {threads} thread{'s'[: threads > 1]}, torch {torch.__version__}"


def parts_of(machine: str) -> list[str]:
    """What `machine` put together: processor, whose name may have commas, threads, torch."""
    return machine.rsplit(", ", 2)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table, one line a measurement."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
