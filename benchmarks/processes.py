"""Replicas together in one process, or a process each on the same cores: which is sooner done?

Training steps at the sizes of the studies, float32, not compiled. Writes processes.csv to
benchmarks/results/.

    uv run python benchmarks/processes.py
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import library
import torch
from library import Size
from measure import RESULTS, machine, write_csv
from tqdm import trange

from aebayes.devices import use_device

HEADER = [
    *("networks", "replicas", "way", "cores", "median_ms", "processor_ms"),
    *("speed_over_processes", "machine"),
]
TURN = 1.0  # seconds, about: long beside handing out the work
APART = "a process each"
CASES = {
    "pocket, AVB 4-64-64-2, batch 256": ("avb", 1, Size(4, (64, 64), 2, 256, 5)),
    "pocket, IWAE-5 64-50-50-10, batch 40": ("iwae", 5, Size(64, (50, 50), 10, 40, 3)),
    "pocket, VAE 64-128-128-8, batch 100": ("vae", 1, Size(64, (128, 128), 8, 100, 3)),
    "overnight, AVB 4-512-512-2, batch 256": ("avb", 1, Size(4, (512, 512), 2, 256, 5)),
    "paper, IWAE-1 784-200-200-50, batch 20": ("iwae", 1, Size(batch=20, replicas=3)),
    "paper, IWAE-50 784-200-200-50, batch 20": ("iwae", 50, Size(batch=20, replicas=3)),
}
# So many steps, and the seconds of processor time that they took.
Steps = Callable[[int], float]
own: Steps  # a worker's


def make_steps(method: str, k: int, size: Size, threads: int = 1) -> Steps:
    """What takes so many training steps of all replicas of a size."""
    device = use_device("cpu", threads)
    step = library.training_step(library.experiment(method, size, k), size, device)

    def steps(count: int) -> float:
        torch.set_num_threads(threads)
        began = time.process_time()
        for _ in range(count):
            step()
        return time.process_time() - began

    steps(2)
    return steps


def start_worker(method: str, k: int, size: Size) -> None:
    """Make a worker's own replica."""
    global own
    own = make_steps(method, k, size)


def work(count: int) -> float:
    """Take so many steps of it."""
    return own(count)


@contextmanager
def workers(method: str, k: int, size: Size, cores: int) -> Iterator[Steps]:
    """Processes of one thread and one replica each, no more at once than there are cores."""
    alone = Size(size.pixels, size.hidden, size.latent, size.batch, 1)
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(cores, size.replicas), start_worker, (method, k, alone)) as pool:
        yield lambda count: sum(pool.map(work, [count] * size.replicas, chunksize=1))


def seconds(steps: Steps, count: int) -> tuple[float, float]:
    """Wall and processor time of so many steps."""
    began = time.perf_counter()
    of_processor = steps(count)
    return time.perf_counter() - began, of_processor


def measure(method: str, k: int, size: Size, cores: int, rounds: int, title: str) -> list[list]:
    """Milliseconds of a step of all replicas each way, the ways in turn; columns 3 to 7.

    Processor time is what the processes used, not cores times wall time: three processes on two
    cores leave one idle.
    """
    with workers(method, k, size, cores) as apart:
        ways: dict[tuple[str, int], Steps] = {
            (f"together, {n} thread{'s'[: n > 1]}", n): make_steps(method, k, size, n)
            for n in sorted({1, cores})
        }
        ways[APART, min(cores, size.replicas)] = apart
        count = max(1, round(10 * TURN / seconds(next(iter(ways.values())), 10)[0]))
        apart(1)  # the workers are up
        times: dict[tuple[str, int], list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in trange(rounds, desc=title, leave=False):
            for way, steps in ways.items():
                times[way].append(seconds(steps, count))
    medians = {
        way: [1e3 * median(each) / count for each in zip(*values, strict=True)]
        for way, values in times.items()
    }
    reference, _ = list(medians.values())[-1]
    return [
        [way, used, f"{wall:.3f}", f"{processor:.3f}", f"{reference / wall:.2f}"]
        for (way, used), (wall, processor) in medians.items()
    ]


@click.command()
@click.option("--rounds", default=7, help="Turns of each way, of a second or so.")
@click.option("--cores", default=os.cpu_count() or 1)
@click.option("--out", default=RESULTS, type=click.Path(path_type=Path), help="The folder.")
def main(rounds: int, cores: int, out: Path) -> None:
    """Measure every size, say who wins, and write the table."""
    rows = []
    for title, (method, k, size) in CASES.items():
        lines = measure(method, k, size, cores, rounds, title)
        soonest = min(lines, key=lambda line: float(line[2]))
        cheapest = min(lines, key=lambda line: float(line[3]))
        print(f"{title}, {size.replicas} replicas: soonest {soonest[0]} ({soonest[2]} ms)")
        print(f"  least processor time: {cheapest[0]} ({cheapest[3]} ms); all: {lines}")
        rows += [[title, size.replicas, *line] for line in lines]
    torch.set_num_threads(1)
    where = machine(torch.device("cpu")).replace(", 1 thread", f", {cores} cores")
    write_csv(out / "processes.csv", HEADER, ([*row, where] for row in rows))


if __name__ == "__main__":
    main()
