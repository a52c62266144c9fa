"""−L_5000, as the overnight study evaluates it, beside the machine's rate of matrix products.

IWAE's one-layer nets, float32, compiled, twenty images at a time as in an evaluation of thousands.
Writes likelihood.csv to benchmarks/results/.

    uv run python benchmarks/likelihood.py
"""

import click
import library
from library import Size
from measure import RESULTS, interleaved, machine, products, square_flops, square_product, write_csv

from aebayes.devices import use_device

K = 5000
IMAGES = 20
HEADER = ["k", "images", "median_ms", "flops_per_second", "product_flops_per_second"]
HEADER += ["share", "machine"]


@click.command()
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(threads: int, rounds: int) -> None:
    """Time both in turn, and write the medians."""
    device = use_device("auto", threads)
    size = Size(batch=IMAGES)
    step = library.evaluation_step(library.experiment("iwae", size, compile=True), size, K, device)
    plain = library.evaluation_step(library.experiment("iwae", size), size, K, device)
    steps = {"bound": step, "product": square_product(device)}
    times = interleaved(steps, rounds, device, "L_5000")
    rate = 1e3 * products(plain) / times["bound"]
    most = 1e3 * square_flops() / times["product"]
    row = [K, IMAGES, f"{times['bound']:.1f}", f"{rate:.4g}", f"{most:.4g}", f"{rate / most:.3f}"]
    write_csv(RESULTS / "likelihood.csv", HEADER, [[*row, machine(device)]])
    click.echo(f"{rate / most:.0%} of {most / 1e9:.0f} GFLOP/s, {machine(device)}")


if __name__ == "__main__":
    main()
