"""A new run of a study beside its reference results: which numbers differ by more than chance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aebayes.audit.manifest import MANIFEST, as_written, refuse_another_study
from aebayes.config import Study
from aebayes.files import find_json

SPREADS = 2.0  # standard deviations of the difference of two runs


@dataclass(frozen=True)
class Difference:
    """A metric of two runs.

    Args:
        experiment: whose it is.
        metric: its name.
        ours: the new run's mean over replicas; None if it has none.
        reference: the reference's.
        spread: standard deviation of the difference between replicas of one and the other; of
            single replicas, of their standard errors; None if neither has any.
    """

    experiment: str
    metric: str
    ours: float | None
    reference: float | None
    spread: float | None

    @property
    def exceeds(self) -> bool:
        """Whether they differ by more than SPREADS of that, or at all where there is none."""
        if self.ours is None or self.reference is None:
            return self.ours != self.reference
        return abs(self.ours - self.reference) > SPREADS * (self.spread or 0.0)

    def __str__(self) -> str:
        if self.ours is None or self.reference is None:
            return f"{self.experiment}: {self.metric}: {self.ours}, the reference {self.reference}"
        spread = "" if self.spread is None else f", spread {self.spread:.3g}"
        return (
            f"{self.experiment}: {self.metric}: {self.ours:.6g}, the reference "
            f"{self.reference:.6g}: {self.ours - self.reference:+.3g}{spread}"
        )


def differences(study: Study, folder: Path, reference: Path) -> Iterator[Difference]:
    """Every metric that both runs have, or one of them alone has.

    Raises:
        AebayesError: a metrics.json is broken, or a folder's manifest is another study's.
    """
    for place in (folder, reference):
        manifest = find_json(place / MANIFEST)  # which an unfinished study has not
        if manifest is not None:
            refuse_another_study(manifest, study, place)
    for experiment in study.experiments:
        path = Path("runs") / experiment / "metrics.json"
        new, old = (values(place / path) for place in (folder, reference))
        if new is None or old is None:
            continue
        for metric in {**old, **new}:
            yield difference(experiment, metric, new.get(metric), old.get(metric))


def values(path: Path) -> dict[str, dict] | None:
    """The metrics of a metrics.json, each with a mean and a spread; None if it is not there."""
    content = find_json(path)
    if content is None:
        return None
    with as_written(path):
        for entry in content["metrics"].values():
            number(entry["mean"]), spread_of(entry)
        return content["metrics"]


def difference(experiment: str, metric: str, new: dict | None, old: dict | None) -> Difference:
    """One metric's, of entries of metrics.json."""
    means = [number(entry["mean"]) if entry else None for entry in (new, old)]
    spreads = [spread_of(entry) for entry in (new, old) if entry]
    known = [spread for spread in spreads if spread is not None]
    return Difference(experiment, metric, *means, math.hypot(*known) if known else None)


def spread_of(entry: dict) -> float | None:
    """Over replicas; of a single one over the test images."""
    errors = entry.get("standard_error")
    return number(errors[0] if len(entry["replicas"]) == 1 and errors else entry["sd"])


def number(value: object) -> float | None:
    """A number, or None for null, which stands for what could not be computed."""
    return None if value is None else float(value)


def missing(study: Study, folder: Path, reference: Path) -> list[str]:
    """Experiments of the reference results that have not been run."""
    path = "runs/{}/metrics.json".format
    return [
        name
        for name in study.experiments
        if (reference / path(name)).is_file() and not (folder / path(name)).is_file()
    ]
