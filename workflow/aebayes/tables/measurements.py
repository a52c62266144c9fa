"""What a table's cell holds of ours: a mean and a spread over replicas, or why there is none."""

import math
from dataclasses import dataclass
from pathlib import Path

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.files import read_json

RUN = "run"
NOT_RUN = "not run: "


@dataclass(frozen=True)
class Measurement:
    """One quantity of one experiment.

    Args:
        mean: over replicas; None if there is none.
        sd: sample standard deviation over replicas; None with fewer than two.
        replicas: how many.
        status: `run`, or `not run: REASON`.
    """

    mean: float | None
    sd: float | None
    replicas: int
    status: str = RUN

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return self.status.removeprefix(NOT_RUN)

    @classmethod
    def missing(cls, reason: str) -> "Measurement":
        """No number, and why."""
        return cls(None, None, 0, f"{NOT_RUN}{reason}")


@dataclass(frozen=True)
class Run:
    """The metrics of one experiment; None if the file at `path` is not there."""

    path: Path
    method: str
    metrics: dict | None

    def measure(self, metric: str, absent: str) -> Measurement:
        """One metric.

        Args:
            absent: why a run of some method lacks it.
        """
        if self.metrics is None:
            return Measurement.missing(f"{self.path} is missing")
        if metric not in self.metrics:
            return Measurement.missing(absent)
        entry = self.metrics[metric]
        if entry["mean"] is None:
            return Measurement.missing("not finite: q(z|x) has no density")
        return Measurement(entry["mean"], entry["sd"], len(entry["replicas"]))


def read_run(study: Study, name: str, runs: Path) -> Run:
    """The metrics of an experiment.

    Raises:
        AebayesError: metrics.json is broken, or was made by other settings than the study's.
    """
    experiment = study.experiment(name)
    path = runs / name / "metrics.json"
    if not path.exists():
        return Run(path, experiment["method"], None)
    content = read_json(path)
    again = f"evaluate it again: python -m aebayes evaluate {name} --study {study.path}"
    for key, expected in {
        "experiment": name,
        **{key: experiment[key] for key in ("method", "dataset", "evaluation")},
    }.items():
        if not isinstance(content, dict) or content.get(key) != expected:
            found = content.get(key) if isinstance(content, dict) else content
            raise AebayesError(f"{path}: {key} is {found!r}, the study has {expected!r}", again)
    try:
        for entry in content["metrics"].values():
            _ = len(entry["replicas"]), entry["mean"], entry["sd"]
    except (KeyError, TypeError, AttributeError) as problem:
        raise AebayesError(f"{path} lacks the metrics' replicas, mean and sd", again) from problem
    return Run(path, experiment["method"], content["metrics"])


def difference(left: Measurement, right: Measurement) -> Measurement:
    """left − right, of replicas that have nothing to do with each other: the variances add."""
    for side in (left, right):
        if side.mean is None:
            return side
    spread = None
    if left.sd is not None and right.sd is not None:
        spread = math.hypot(left.sd, right.sd)
    return Measurement(left.mean - right.mean, spread, min(left.replicas, right.replicas))
