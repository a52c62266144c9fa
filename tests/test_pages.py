"""The pages say what is: their links lead somewhere, their numbers are of the reference results."""

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aebayes.config import ROOT

PAGES = ("README.md", "config/README.md", "benchmarks/README.md", "results/reference/README.md")
NUMBER = r"[-−]?\d+(?:\.\d+)?"
SPREAD = re.compile(rf"({NUMBER}) ± ({NUMBER})")
REFERENCE = ROOT / "results" / "reference"


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link to a page can name behind `#`, as GitHub makes it of the page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    lost = []
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert links
    assert not lost


def means_and_spreads() -> list[tuple[float, float]]:
    """Of all that was measured or published: the mean over replicas and its sd, or the value of a
    single replica and its standard error; of annealing, also the difference of two experiments."""
    found = []
    for path in REFERENCE.glob("*/tables/*.csv"):
        with path.open(newline="") as file:
            for cell in csv.DictReader(file):
                found.append((cell["mean"], cell["sd"]))
                found.append((cell["published"], cell["published_sd"]))
    for study in REFERENCE.iterdir():
        paths = sorted(study.glob("runs/*/metrics.json"))
        metrics = [json.loads(path.read_text())["metrics"] for path in paths]
        for metric in itertools.chain.from_iterable(every_metric(of) for of in metrics):
            error = metric.get("standard_error") or [None]
            found.append((metric["mean"], metric["sd"] if metric["sd"] is not None else error[0]))
        annealed = [of["annealed"]["images"] for of in metrics if "annealed" in of]
        for one, other in itertools.combinations(annealed, 2):
            if len(one) == len(other) == 1 and len(one[0]) == len(other[0]):
                found.append(paired(one[0], other[0]))
    return [(abs(float(mean)), float(sd)) for mean, sd in found if sd not in (None, "")]


def every_metric(tree: dict) -> Iterator[dict]:
    """The metrics of a metrics.json, those within others, too."""
    for value in tree.values():
        if isinstance(value, dict) and {"mean", "sd"} <= value.keys():
            yield value
        elif isinstance(value, dict):
            yield from every_metric(value)


def paired(one: list[float], other: list[float]) -> tuple[float, float]:
    """Mean of the differences, image by image, and its standard error."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    mean = math.fsum(differences) / len(differences)
    squares = math.fsum((each - mean) ** 2 for each in differences) / (len(differences) - 1)
    return mean, math.sqrt(squares / len(differences))


def rounds_to(value: float, written: str) -> bool:
    """Whether a number may be written so; signs aside."""
    half = 0.5001 * 10.0 ** -len(written.partition(".")[2])
    return abs(value - abs(float(written.replace("−", "-")))) <= half


def test_numbers_of_the_readme_are_of_the_reference_results():
    known = means_and_spreads()
    known += [(100 * mean, 100 * spread) for mean, spread in known]
    text = prose("README.md").replace(",", "")
    foreign = [
        f"{mean} ± {spread}"
        for mean, spread in SPREAD.findall(text)
        if not any(rounds_to(a, mean) and rounds_to(b, spread) for a, b in known)
    ]
    assert len(known) > 1000
    assert not foreign
