"""What is made again and compared: tables and figures from runs, datasets and metrics if asked."""

import csv
import importlib
import itertools
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import numpy as np

from aebayes.audit.audit import CHANGED, EQUIVALENT, Audit, Finding
from aebayes.audit.manifest import data_files
from aebayes.config import Study
from aebayes.errors import AebayesError, CannotWrite
from aebayes.figures import inputs as figure_inputs
from aebayes.figures import make_figure
from aebayes.files import read_json, sha256
from aebayes.forkserver import end_with_parent
from aebayes.records import Place, figure_files, table_files
from aebayes.tables import inputs as table_inputs
from aebayes.tables import make_table

# What another machine may differ by and still be the same result.
CELL = 1e-9  # of a number in a table, relative
LEVELS = 1.0  # of 255, on average over a figure's pixels
SPREADS = 0.1  # of a metric's own spread: standard error, or sd over replicas
RELATIVE = 1e-3  # of a metric that has no spread
FRACTION = re.compile(r"(?<![\d:])\d+\.\d+")  # as a table prints them; not an arXiv number
TOLERANCES = (
    f"a table's numbers within {CELL:g} of themselves, as printed within a unit of their last "
    f"place, a figure's pixels within {LEVELS:g} of 255 "
    f"levels on average, a metric within {SPREADS:g} of its standard error or of its spread over "
    f"replicas, or within {RELATIVE:g} of itself where it has neither"
)


def make_again(audit: Audit, deep: bool, say: Callable[[str], None]) -> None:
    """Make everything again that can be, and note where it comes out otherwise.

    Args:
        deep: datasets from raw files and metrics from checkpoints, too, which takes as long as
            their evaluation did.
        say: is told what is done.

    Raises:
        AebayesError: there is no room to make anything in.
    """
    with temporary_folder() as out:
        say("tables")
        for name in audit.study.tables:
            table_again(audit, name, out)
        say("figures")
        figures_again(audit, out)
        if deep:
            for dataset in audit.study.datasets:
                say(f"dataset {dataset}")
                dataset_again(audit, dataset, out)
            for experiment in audit.study.experiments:
                say(f"metrics of {experiment}")
                metrics_again(audit, experiment, out)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder to make things again in.

    Raises:
        AebayesError: it cannot be made or written to.
    """
    try:
        folder = TemporaryDirectory(prefix="aebayes-audit-")
    except OSError as problem:
        refuse_no_room(problem.strerror or str(problem))
    with folder as name:
        try:
            yield Path(name)
        except CannotWrite as problem:
            refuse_no_room(problem.problem)


def refuse_no_room(problem: str) -> NoReturn:
    """Say that nothing can be made again here, so that nothing is known.

    Raises:
        AebayesError: always.
    """
    raise AebayesError(
        f"what is to be compared cannot be made again: {problem}",
        "see that the folder of temporary files has room, or name another: TMPDIR=FOLDER",
    )


def table_again(audit: Audit, name: str, out: Path) -> None:
    """A table from the runs' metrics."""
    read, made = table_files(name, table_inputs(name, audit.study))
    known = [key for key in read if key in audit.manifest["artefacts"]]
    if not (audit.has(known) and audit.has(made)):
        return
    with noting(audit, made):
        make_table(name, audit.study, audit.place.study / "runs", out / "tables")
        numbers, *texts = made
        difference = different_cell(audit.place.path(numbers), out / numbers)
        compare(audit, numbers, out / numbers, difference, "metrics")
        for key in texts:
            words = different_words(audit.place.path(key), out / key)
            compare(audit, key, out / key, words or difference, "metrics")


def figures_again(audit: Audit, out: Path) -> None:
    """Figures from arrays, histories and datasets, several at a time."""
    made = {}
    for name in audit.study.figures:
        read, drawn = figure_files(name, *figure_inputs(name, audit.study))
        if audit.has(read) and audit.has(drawn):
            made[name] = drawn
    draw = partial(draw_again, study=audit.study, place=audit.place, out=out)
    # Forked, they share what is imported here; no thread of torch's is there yet.
    importlib.import_module("aebayes.figures.style")
    with drawers() as pool:
        problems = list(pool.map(draw, made))
    for drawn, problem in zip(made.values(), problems, strict=True):
        if problem:
            refuse(audit, drawn, problem)
            continue
        difference = different_pixels(audit.place.path(drawn[0]), out / drawn[0])
        for key in drawn:
            compare(audit, key, out / key, difference, "arrays")


@contextmanager
def drawers() -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, also by Ctrl-C or SIGTERM, whatever they are at."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with ProcessPoolExecutor(
            mp_context=get_context("fork"), initializer=begin_drawing, initargs=(os.getpid(),)
        ) as pool:
            try:
                start_deaf(pool)
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in (drawing := active_children()):
                    process.terminate()
                for process in drawing:
                    process.join()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)


def start_deaf(pool: ProcessPoolExecutor) -> None:
    """Start a pool's processes, all by its first task, deaf to what is meant for this one."""
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def begin_drawing(parent: int) -> None:
    """Hear SIGTERM again, not Ctrl-C, which is the parent's; and end when that does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    end_with_parent(parent)


def draw_again(name: str, study: Study, place: Place, out: Path) -> str | None:
    """Draw a figure; what is wrong with what it is drawn from, if anything is."""
    try:
        make_figure(
            name, study, place.study / "runs", place.root / "data/processed", out / "figures"
        )
    except CannotWrite:
        raise
    except AebayesError as problem:
        return problem.problem
    return None


def dataset_again(audit: Audit, dataset: str, out: Path) -> None:
    """A prepared dataset from its raw files."""
    from aebayes.data.prepare import prepare

    made = data_files(dataset)
    read = audit.manifest["steps"].get(f"prepare {dataset}", {}).get("inputs", {})
    if not audit.has([*made, *read]):
        return
    with noting(audit, made):
        prepare(dataset, audit.place.root / "data" / "raw", *(out / key for key in made))
        for key in made:
            compare(audit, key, out / key, "the bytes differ", "raw files")


def metrics_again(audit: Audit, experiment: str, out: Path) -> None:
    """An experiment's metrics from its checkpoint."""
    # Torch: two seconds that other audits need not wait for.
    from aebayes.evaluation.run import evaluate

    folder = f"runs/{experiment}"
    checkpoint, metrics = f"{folder}/checkpoint.safetensors", f"{folder}/metrics.json"
    settings = audit.study.experiment(experiment)
    data = data_files(settings["dataset"])
    if not audit.has([checkpoint, metrics, *data]):
        return
    (out / folder).mkdir(parents=True)
    (out / checkpoint).symlink_to(audit.place.path(checkpoint).resolve())
    with noting(audit, [metrics]):
        evaluate(settings, audit.place.path(data[0]), out / folder)
        difference = different_metric(audit.place.path(metrics), out / metrics)
        compare(audit, metrics, out / metrics, difference, "the checkpoint")


@contextmanager
def noting(audit: Audit, keys: Iterable[str]) -> Iterator[None]:
    """Turn an error while artefacts are made again into a finding about each of them."""
    try:
        yield
    except CannotWrite:
        raise
    except AebayesError as problem:
        refuse(audit, keys, problem.problem)


def refuse(audit: Audit, keys: Iterable[str], problem: str) -> None:
    """Note that artefacts cannot be made again."""
    for key in keys:
        audit.note(key, Finding(CHANGED, f"it cannot be made again: {problem}"))


def compare(audit: Audit, key: str, again: Path, difference: str | None, source: str) -> None:
    """Note how an artefact made again compares.

    Args:
        difference: where the two differ by more than is tolerated, in words.
        source: what it was made from, in words.
    """
    if sha256(again) == sha256(audit.place.path(key)):
        return
    if difference is None:
        why = f"made again from {source}, it differs by less than is tolerated"
        audit.note(key, Finding(EQUIVALENT, why))
    else:
        audit.note(key, Finding(CHANGED, f"it is not what {source} give now: {difference}"))


def different_cell(here: Path, again: Path) -> str | None:
    """Where two tables first differ, a number by more than is tolerated."""
    with here.open(newline="") as old, again.open(newline="") as new:
        for before, after in itertools.zip_longest(csv.DictReader(old), csv.DictReader(new)):
            if before is None or after is None:
                return "it has another number of cells"
            for key in before.keys() | after.keys():
                if not alike(before.get(key), after.get(key)):
                    cell = f"{after.get('row')}, {after.get('column')}: {key}"
                    return f"{cell} is {before.get(key)!r} here and {after.get(key)!r} made again"
    return None


def different_words(here: Path, again: Path) -> str | None:
    """Where two texts first differ by more than how a number was rounded."""
    lines = (path.read_text(encoding="utf-8").splitlines() for path in (here, again))
    for number, (old, new) in enumerate(itertools.zip_longest(*lines), start=1):
        if old is None or new is None:
            return "it has another number of lines"
        words = FRACTION.sub("#", old) == FRACTION.sub("#", new)
        if not words or not all(map(rounded_alike, FRACTION.findall(old), FRACTION.findall(new))):
            return f"line {number} is {old!r} here and {new!r} made again"
    return None


def rounded_alike(first: str, second: str) -> bool:
    """Whether two decimal fractions are the same, or neighbours of as many places."""
    places = [len(each.partition(".")[2]) for each in (first, second)]
    return places[0] == places[1] and abs(float(first) - float(second)) < 1.5 * 10 ** -places[0]


def alike(first: str | None, second: str | None) -> bool:
    """Whether two entries of a table are the same, or the same number."""
    if first == second:
        return True
    try:
        return math.isclose(float(first), float(second), rel_tol=CELL)
    except (TypeError, ValueError):
        return False


def different_pixels(here: Path, again: Path) -> str | None:
    """How far two pictures are from each other, if by more than is tolerated."""
    from PIL import Image

    with Image.open(here) as old, Image.open(again) as new:
        if old.size != new.size:
            return f"it is {old.size} pixels here and {new.size} made again"
        first, second = (np.asarray(image.convert("RGB"), float) for image in (old, new))
    apart = np.abs(first - second).mean()
    return f"pixels differ by {apart:.1f} of 255 on average" if apart > LEVELS else None


def different_metric(here: Path, again: Path) -> str | None:
    """The first metric whose replicas differ by more than is tolerated."""
    before, after = (read_json(path)["metrics"] for path in (here, again))
    if before.keys() != after.keys():
        return f"metrics are {sorted(before.keys() ^ after.keys())} more or fewer"
    for name, entry in before.items():
        for number, (old, new) in enumerate(
            zip(entry["replicas"], after[name]["replicas"], strict=True)
        ):
            if not within(old, new, spread_of(entry, number)):
                return f"{name} of replica {number} is {old} here and {new} made again"
    return None


def spread_of(entry: dict, replica: int) -> float | None:
    """A metric's standard error of a replica, else its sd over replicas, if it has either."""
    errors = entry.get("standard_error")
    return errors[replica] if errors and errors[replica] is not None else entry["sd"]


def within(old: float | None, new: float | None, spread: float | None) -> bool:
    """Whether a metric made again is the same but for round-off or chance of another machine."""
    if old is None or new is None:
        return old is new
    return abs(old - new) <= (SPREADS * spread if spread else RELATIVE * abs(old))
