"""The library beside pythae and a textbook PyTorch loop: training steps and evaluation.

Same nets, data and minibatches, all in turn in one process, beside the machine's own rate of
float32 products. Writes peers.csv, peers.md, peers.png and peers.pdf to benchmarks/results/.

    uv run --group benchmarks python benchmarks/peers.py
"""

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import library
import plain
import torch
from library import Size
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from measure import (
    RESULTS,
    ROUNDS,
    SQUARE,
    Step,
    interleaved,
    machine,
    parts_of,
    products,
    square_flops,
    square_product,
    write_csv,
)

from aebayes.compilation import compiler_found
from aebayes.devices import precision_found, use_device
from aebayes.figures import style
from aebayes.files import write_text

logger = logging.getLogger(__name__)

HEADER = [
    *("model", "k", "batch", "precision", "implementation", "median_ms"),
    *("ratio_to_peer", "share_of_fp32_product", "machine"),
]
PYTHAE, LOADER, PLAIN = "pythae 0.1.2", "pythae 0.1.2, its own loader", "plain PyTorch"
PLAIN_SOAP = "plain PyTorch, SOAP of pytorch-optimizer 4.1.0"
UNCOMPILED, COMPILED = "aebayes", "aebayes compiled"
FEW_DRAWS = "aebayes compiled, another estimator: gradient of 8 draws"
ONE_PASS = "aebayes compiled, one pass for all losses"
ONE_PASS_METHODS = {"AAE": "avb_restricted", "AVB": "avb"}
PRODUCT_NAME, MM = "square product", "torch.mm"
ONE_LAYER = Size()


@dataclass(frozen=True)
class Case:
    """What is measured: a model's training step, or L_k of a batch of images.

    Args:
        nets: named where they are not IWAE's one-layer nets for one replica.
        optimiser: the library's; pythae's is Adam, the plain loop has both.
    """

    model: str
    k: int = 1
    size: Size = ONE_LAYER
    evaluation: bool = False
    nets: str = ""
    optimiser: str = "adam"

    def __str__(self) -> str:
        name = f"{self.model} evaluation" if self.evaluation else self.model
        return f"{name}, {self.nets}" if self.nets else name


PAPER = Size(batch=20, replicas=3)
POCKET = Size(64, (50, 50), 10, 40, 3)
CASES = [
    Case("VAE"),
    Case("IWAE", 1),
    Case("IWAE", 5),
    Case("IWAE", 50),
    Case("AAE"),
    Case("AVB"),
    Case("VAE", 1, Size(batch=200), nets="overnight study"),
    Case("IWAE", 1, Size(batch=200), nets="overnight study, SOAP", optimiser="soap"),
    Case("IWAE", 5, Size(batch=200), nets="overnight study, SOAP", optimiser="soap"),
    Case("IWAE", 1, PAPER, nets="paper study, 3 replicas"),
    Case("IWAE", 50, PAPER, nets="paper study, 3 replicas"),
    Case("IWAE", 5, POCKET, nets="pocket study, 64-50-50-10, 3 replicas"),
    Case("AVB", 1, replace(POCKET, batch=100), nets="pocket study, 64-50-50-10, 3 replicas"),
    Case("VAE", 1, evaluation=True),
    Case("IWAE", 5, evaluation=True),
    Case("IWAE", 50, evaluation=True),
    Case("IWAE", 1000, Size(batch=20), evaluation=True),
    Case("AAE", 50, evaluation=True),
    Case("AVB", 50, evaluation=True),
]
PRODUCT = Case(PRODUCT_NAME, size=Size(batch=SQUARE))


@dataclass(frozen=True)
class Way:
    """One implementation of a case.

    Args:
        step: what is timed.
        flops: in its products.
    """

    name: str
    precision: str
    step: Step
    flops: int


@dataclass(frozen=True)
class Measured:
    """A line of the table: a way's median, and what it comes to.

    Args:
        rate: of the float32 square product beside it, in GFLOP/s.
    """

    case: Case
    way: Way
    milliseconds: float
    ratio: float
    share: float
    rate: float
    machine: str

    def row(self) -> list:
        """Its columns, as in `HEADER`."""
        case, way = self.case, self.way
        numbers = f"{self.milliseconds:.3f}", f"{self.ratio:.2f}", f"{self.share:.3f}"
        return [case, case.k, case.size.batch, way.precision, way.name, *numbers, self.machine]


def peers(case: Case, device: torch.device) -> Iterator[Way]:
    """pythae, if it is installed and has the model; then the textbook loop, with SOAP, too."""
    of_case = case.model, case.size, case.k, device
    if importlib.util.find_spec("pythae"):
        import pythae_steps

        if case.model in pythae_steps.MODELS:
            task = "evaluation_step" if case.evaluation else "training_step"
            step = getattr(pythae_steps, task)(*of_case)
            flops = products(step)
            yield Way(PYTHAE, "float32", step, flops)
            if not case.evaluation:
                loader = pythae_steps.training_step(*of_case, loader=True)
                yield Way(LOADER, "float32", loader, flops)
    step = (plain.evaluation_step if case.evaluation else plain.training_step)(*of_case)
    yield Way(PLAIN, "float32", step, products(step))
    if case.optimiser == "soap" and importlib.util.find_spec("pytorch_optimizer"):
        step = plain.training_step(*of_case, plain.soap())
        yield Way(PLAIN_SOAP, "float32", step, products(step))


def library_step(
    case: Case, device: torch.device, precision: str, compile: bool, **objective: object
) -> Step:
    """The library's own step of a case.

    Args:
        objective: further settings of `library.experiment`, its `method` among them.
    """
    method = objective.pop("method", case.model.lower())
    experiment = library.experiment(
        method, case.size, case.k, precision, compile, case.optimiser, **objective
    )
    if case.evaluation:
        return library.evaluation_step(experiment, case.size, case.k, device)
    return library.training_step(experiment, case.size, device)


def ours(case: Case, device: torch.device) -> Iterator[Way]:
    """The library as it trains and evaluates; evaluation is always float32."""
    make = partial(library_step, case, device)
    step = make("float32", False)
    flops = products(step)
    yield Way(UNCOMPILED, "float32", step, flops)
    if not compiler_found():
        return
    yield Way(COMPILED, "float32", make("float32", True), flops)
    bfloat16 = not case.evaluation and precision_found("bfloat16", device) == "bfloat16"
    if bfloat16:
        yield Way(COMPILED, "bfloat16", make("bfloat16", True), flops)
    if bfloat16 and case.model == "IWAE" and case.k == 50:
        few = {"gradient": "doubly_reparameterised", "draws": 8}
        flops = products(make("float32", False, **few))
        yield Way(FEW_DRAWS, "bfloat16", make("bfloat16", True, **few), flops)
    if case.model in ONE_PASS_METHODS and not case.evaluation:
        one = {"method": ONE_PASS_METHODS[case.model], "simultaneous": True}
        flops = products(make("float32", False, **one))
        for precision in ("float32", "bfloat16") if bfloat16 else ("float32",):
            yield Way(ONE_PASS, precision, make(precision, True, **one), flops)


def square(device: torch.device) -> Iterator[Way]:
    """The square product in each precision that training may have."""
    yield Way(MM, "float32", square_product(device), square_flops())
    if precision_found("bfloat16", device) == "bfloat16":
        yield Way(MM, "bfloat16", square_product(device, torch.bfloat16), square_flops())


def ways_of(case: Case, device: torch.device) -> list[Way]:
    """All ways of a case; the first is pythae's where it has the model."""
    if case == PRODUCT:
        return [*square(device)]
    return [*peers(case, device), *ours(case, device)]


def measure(case: Case, rounds: int, device: torch.device) -> list[Measured]:
    """All ways of a case in turn; ratios are over the first."""
    torch.compiler.reset()  # or the shapes of one case count against the next one's limit
    ways = ways_of(case, device)
    steps = {(way.name, way.precision): way.step for way in ways}
    title = f"{case}, k = {case.k}, batch {case.size.batch}"
    medians = interleaved({**steps, PRODUCT_NAME: square_product(device)}, rounds, device, title)
    rate = square_flops() / medians[PRODUCT_NAME]  # operations a millisecond
    first = medians[ways[0].name, ways[0].precision]
    measured = []
    for way in ways:
        median = medians[way.name, way.precision]
        share = way.flops / median / rate
        line = Measured(case, way, median, first / median, share, rate / 1e6, machine(device))
        measured.append(line)
        print(f"{title}, {way.name}, {way.precision}: {median:.3f} ms, {first / median:.2f}×")
    print(f"{title}: square products at {rate / 1e6:.0f} GFLOP/s, {machine(device)}")
    return measured


NOTES = f"""
Medians of training steps (minibatch, loss, gradient, optimiser) and of evaluation, all ways in
turn in one process. *speed* is over {PYTHAE}, or over plain PyTorch where pythae has no such
model. *product share* is the rate of the step's matrix products over that of a float32 product of
two 2048×2048 matrices with the same threads in the same run; bfloat16 can exceed 100%, up to what
its own square product has in the first lines.

- {PYTHAE} is given its minibatches by one indexing, as the others are; "{LOADER}" fetches them
  image by image, as its trainer does. Its `get_nll` takes one image at a time.
- Plain PyTorch is a textbook loop: `nn.Linear`, Adam, `binary_cross_entropy_with_logits`.
- Replicas are trained one after another by the peers, together by the library.
- pythae's adversarial autoencoder has one pass for all its losses, and so fewer products than
  the paper's three phases; each way's products are its own. {ONE_PASS}: the same two losses of the
  same codes by avb_restricted, or AVB's, with `simultaneous`.
- SOAP's own products count: the library's steps have them, the peers' Adam has none. {PLAIN_SOAP}
  renews its bases as often as the library's does, and for as long sides. Steps that renew them, one
  in 25, are longer, and in no median.
- AVB is evaluated by given Gaussian proposals; fitting them is not in the times.
- {FEW_DRAWS}: IWAE's bound with `draws: 8`, so not the work of the lines above it.
"""


def markdown(measured: Sequence[Measured]) -> str:
    """The table for people: a part a machine, that is, a number of threads."""
    text = "# Beside pythae and plain PyTorch\n" + NOTES
    for name in dict.fromkeys(line.machine for line in measured):
        lines = [line for line in measured if line.machine == name]
        rates = [line.rate for line in lines]
        text += f"\n## {name}\n\n"
        text += f"Square products in float32: {min(rates):.0f} to {max(rates):.0f} GFLOP/s.\n\n"
        text += "| model | k | batch | implementation | precision | ms | speed | product share |\n"
        text += "|---|--:|--:|---|---|--:|--:|--:|\n"
        text += "".join(map(markdown_line, lines))
    return text


def markdown_line(line: Measured) -> str:
    """One measurement."""
    case, way = line.case, line.way
    what = f"| {case} | {case.k} | {case.size.batch} | {way.name} | {way.precision} "
    return what + f"| {line.milliseconds:.2f} | {line.ratio:.2f}× | {line.share:.0%} |\n"


COLOURS = {
    (PYTHAE, "float32"): style.GREY,
    (PLAIN, "float32"): style.BLACK,
    (PLAIN_SOAP, "float32"): "#cc79a7",
    (UNCOMPILED, "float32"): "#56b4e9",
    (COMPILED, "float32"): "#0072b2",
    (COMPILED, "bfloat16"): "#d55e00",
    (FEW_DRAWS, "bfloat16"): "#e69f00",
    (ONE_PASS, "bfloat16"): "#009e73",
}
LABELS = {
    (PLAIN_SOAP, "float32"): "plain PyTorch, SOAP",
    (FEW_DRAWS, "bfloat16"): "aebayes, 8 draws, bfloat16",
    (ONE_PASS, "bfloat16"): "aebayes, one pass, bfloat16",
}
ROW = 0.155  # inches


def draw(measured: Sequence[Measured]) -> Figure:
    """A row a case: speed over the peer, and the share of the product's rate."""
    cases = list(dict.fromkeys(line.case for line in measured if line.case != PRODUCT))
    machines = list(dict.fromkeys(line.machine for line in measured))
    figure = style.new_figure(ROW * (len(cases) + 3) + 0.75)
    speed, share = figure.subplots(1, 2, sharey=True)
    for line in measured:
        key = line.way.name, line.way.precision
        if key in COLOURS:
            row = cases.index(line.case)
            mark = partial(mark_of, COLOURS[key], line.machine == machines[0])
            mark(speed, line.ratio, row)
            mark(share, 100 * line.share, row)
    speed.set_yticks(range(len(cases)), map(row_label, cases))
    speed.set_ylim(len(cases) - 0.5, -0.5)
    speed.set(xscale="log", xlabel="speed over peer")
    share.set(xscale="log", xlabel="% of product")
    for axes, whole, between in ((speed, 1, (2, 5)), (share, 100, (3,))):
        axes.axvline(whole, color=style.PALE, linewidth=0.6, zorder=0)
        axes.grid(axis="y", color=style.PALE, linewidth=0.3)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(LogLocator(subs=between))
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.spines[["top", "right"]].set_visible(False)
    shown = {(line.way.name, line.way.precision) for line in measured}
    handles = [legend_mark(key) for key in COLOURS if key in shown]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    threads = (parts_of(name)[1] for name in machines)
    fills = zip(("filled", "open"), threads, strict=False)
    style.note(figure, "; ".join(f"{fill}: {of}" for fill, of in fills))
    return figure


def mark_of(colour: str, filled: bool, axes: Axes, x: float, row: int) -> None:
    """One measurement."""
    face = colour if filled else "none"
    axes.plot(x, row, "o", markersize=3, markeredgewidth=0.7, color=colour, markerfacecolor=face)


def row_label(case: Case) -> str:
    """A case in few characters: the nets by their study alone."""
    name = f"{case.model} eval." if case.evaluation else case.model
    study = "SOAP" if case.optimiser == "soap" else case.nets.split(" study")[0]
    return f"{name} k={case.k} B={case.size.batch}" + f", {study}" * bool(study)


def legend_mark(key: tuple[str, str]) -> Line2D:
    """A way's colour and name."""
    name, precision = key
    label = LABELS.get(key, name if name in (PYTHAE, PLAIN) else f"{name}, {precision}")
    return Line2D([], [], marker="o", linestyle="", markersize=3, color=COLOURS[key], label=label)


@click.command()
@click.option("--rounds", default=ROUNDS, help="Turns of each step; 3 steps are timed in a turn.")
@click.option("--threads", multiple=True, default=[1, 2], help="For all alike; may be repeated.")
@click.option("--device", default="auto", help="auto, cpu or cuda.")
@click.option("--only", default="", help="Only the cases whose names begin so.")
@click.option("--out", default=RESULTS, type=click.Path(path_type=Path), help="The folder.")
def main(rounds: int, threads: tuple[int, ...], device: str, only: str, out: Path) -> None:
    """Measure every case, and write table and figure."""
    if not any(str(case).startswith(only) for case in CASES):
        raise click.UsageError(
            f"no case begins with {only!r}; there are {', '.join(map(str, CASES))}"
        )
    if not importlib.util.find_spec("pythae"):
        logger.warning("pythae is not installed: add --group benchmarks to uv run")
    measured = []
    for count in threads:
        where = use_device(device, count)
        measured += measure(PRODUCT, rounds, where)
        for case in CASES:
            if str(case).startswith(only):
                measured += measure(case, rounds, where)
    write_csv(out / "peers.csv", HEADER, (line.row() for line in measured))
    write_text(out / "peers.md", markdown(measured))
    with style.applied():
        style.save(draw(measured), parts_of(measured[0].machine)[0], out / "peers")


if __name__ == "__main__":
    main()
