"""What a table's cell holds of ours: a mean and a spread over replicas, or why there is none."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.files import find_json

RUN = "run"
NOT_RUN = "not run: "
# Divergences from q(z|x), and what is made of them: infinite where q(z|x) is a point.
OF_A_DENSITY = ("posterior_kl", "elbo", "prior_kl")


@dataclass(frozen=True)
class Measurement:
    """One quantity of one experiment.

    Args:
        mean: over replicas; None if there is none.
        sd: sample standard deviation over replicas; None with fewer than two.
        replicas: how many.
        status: `run`, or `not run: REASON`.
        standard_error: the estimate's own, of the test images drawn; only with a single replica.
        values: each replica's own, in order; none where the mean is not one over replicas.
    """

    mean: float | None
    sd: float | None
    replicas: int
    status: str = RUN
    standard_error: float | None = None
    values: tuple[float, ...] = ()

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
    """The metrics of one experiment; None if the file at `path` is not there.

    Args:
        settings: the experiment's, as the study has them.
        without: the dataset, if the study does without it.
        data: the hash of the dataset that it was evaluated on.
        precision: of the matrix products in its training; None if nothing tells of a training.
    """

    path: Path
    name: str
    settings: dict
    metrics: dict | None
    without: str | None = None
    data: str | None = None
    precision: str | None = None

    def measure(self, metric: str, absent: str) -> Measurement:
        """One metric.

        Args:
            absent: why a run of some method lacks it.
        """
        if self.without:
            return Measurement.missing(f"the dataset {self.without} is not here")
        if self.metrics is None:
            done = "evaluated" if self.path.with_name("training.json").is_file() else "run"
            return Measurement.missing(f"{self.name} has not been {done}")
        if metric not in self.metrics:
            return Measurement.missing(absent)
        entry = self.metrics[metric]
        if entry["mean"] is None:
            nowhere = all(value is None for value in entry["replicas"])
            if nowhere and metric in OF_A_DENSITY:
                return Measurement.missing("not finite: q(z|x) has no density")
            return Measurement.missing("not finite in this run")
        values = tuple(entry["replicas"])
        errors = entry.get("standard_error")
        error = errors[0] if errors and len(values) == 1 else None
        return Measurement(
            entry["mean"], entry["sd"], len(values), standard_error=error, values=values
        )

    def change(self, before: "Run", metric: str, absent: str) -> Measurement:
        """This run's metric minus that of the run it started from, replica by replica."""
        lacking = self.lacking(before, metric, absent)
        if lacking:
            return lacking
        after, earlier = (run.metrics[metric]["replicas"] for run in (self, before))
        return of_replicas(value - then for value, then in zip(after, earlier, strict=True))

    def beyond(self, other: "Run", metric: str, absent: str) -> Measurement:
        """This run's metric minus another's, image by image of those that both have seen.

        The error of such a difference is smaller than either's own: images are easy or hard for
        both.
        """
        lacking = self.lacking(other, metric, absent)
        if lacking:
            return lacking
        if self.images != other.images:
            return Measurement.missing(f"{other.name} was evaluated on other images")
        pairs = [run.metrics[metric].get("images") for run in (self, other)]
        if None in pairs:
            return Measurement.missing("evaluated when images' own values were not kept")
        differences = [
            [value - its for value, its in zip(*values, strict=False)]
            for values in zip(*pairs, strict=True)
        ]
        measured = of_replicas(map(statistics.fmean, differences))
        images = len(differences[0])
        if measured.replicas > 1 or images < 2:
            return measured
        error = statistics.stdev(differences[0]) / math.sqrt(images)
        return replace(measured, standard_error=error)

    @property
    def images(self) -> tuple:
        """All that the choice of its test images, and their binarisation, depends on."""
        settings = self.settings
        return self.data, settings["binarisation"], settings["training"]["seed"]

    def lacking(self, other: "Run", metric: str, absent: str) -> Measurement | None:
        """Why the two runs cannot be compared by a metric; None if they can."""
        for run in (other, self):
            measured = run.measure(metric, absent)
            if measured.mean is None:
                return measured
        if len({len(run.metrics[metric]["replicas"]) for run in (self, other)}) > 1:
            return Measurement.missing(f"{other.name} has another number of replicas")
        return None


def of_replicas(values: Iterable[float]) -> Measurement:
    """Mean and spread of one number a replica."""
    numbers = list(values)
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Measurement(statistics.fmean(numbers), spread, len(numbers), values=tuple(numbers))


def read_run(study: Study, name: str, runs: Path) -> Run:
    """The metrics of an experiment.

    Raises:
        AebayesError: metrics.json is broken, was made by other settings than the study's, or of
            another checkpoint than the one that training.json beside it tells of.
    """
    experiment = study.experiment(name)
    path = runs / name / "metrics.json"
    without = experiment["dataset"] if experiment["dataset"] in study.absent else None
    content = None if without else find_json(path)
    if content is None:
        return Run(path, name, experiment, None, without)
    again = f"evaluate it again: python -m aebayes evaluate {name}"
    for key, expected in {
        "experiment": name,
        **{key: experiment[key] for key in ("method", "dataset", "evaluation")},
    }.items():
        if content.get(key) != expected:
            raise AebayesError(
                f"{path}: {key} is {content.get(key)!r}, the study has {expected!r}", again
            )
    training = find_json(path.with_name("training.json"))
    checkpoint = "checkpoint_sha256"
    if training is not None and training.get(checkpoint) != content.get(checkpoint):
        raise AebayesError(f"{path}: metrics are of another checkpoint: evaluate again", again)
    metrics = content.get("metrics")
    if not isinstance(metrics, dict):
        raise AebayesError(f"{path} has no metrics", again)
    for metric, entry in metrics.items():
        problem = problem_of(entry)
        if problem:
            raise AebayesError(f"{path}: metric {metric}: {problem}", again)
    # What was trained before records told of it had the precision that it asked for.
    asked = experiment["training"]["precision"]
    precision = None if training is None else training.get("precision", asked)
    return Run(path, name, experiment, metrics, None, content.get("dataset_sha256"), precision)


def problem_of(entry: object) -> str | None:
    """What is wrong with a metric as metrics.json holds it; None if nothing is."""
    if not isinstance(entry, dict) or not {"replicas", "mean", "sd"} <= set(entry):
        return "it lacks replicas, mean or sd"
    replicas = entry["replicas"]
    if not isinstance(replicas, list) or not replicas:
        return f"replicas are {replicas!r}, expected a number each"
    for key, value in (("mean", entry["mean"]), ("sd", entry["sd"])):
        if not is_number_or_null(value):
            return f"{key} is {value!r}, expected a finite number or null"
    wrong = [value for value in replicas if not is_number_or_null(value)]
    if wrong:
        return f"a replica is {wrong[0]!r}, expected a finite number or null"
    errors = entry.get("standard_error", replicas)
    if not isinstance(errors, list) or len(errors) != len(replicas):
        return f"standard_error is {errors!r}, expected a number each replica"
    wrong = [value for value in errors if not is_number_or_null(value)]
    if wrong:
        return f"a standard_error is {wrong[0]!r}, expected a finite number or null"
    images = entry.get("images")
    if images is not None and not is_of_images(images, len(replicas)):
        return "images are not as many finite numbers for each replica"
    if (entry["mean"] is None) != (None in replicas):
        return "mean is null exactly if a replica is, and here it is not so"
    return None


def is_of_images(images: object, replicas: int) -> bool:
    """Whether a value of JSON is as many finite numbers for each replica, and not none."""
    if not isinstance(images, list) or len(images) != replicas:
        return False
    if not all(isinstance(values, list) and values for values in images):
        return False
    numbers = [value for values in images for value in values]
    same = len({len(values) for values in images}) == 1
    return same and None not in numbers and all(map(is_number_or_null, numbers))


def is_number_or_null(value: object) -> bool:
    """Whether a value of JSON is null or a finite number; true and false are none."""
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def difference(left: Measurement, right: Measurement) -> Measurement:
    """left − right, of replicas that have nothing to do with each other: the variances add."""
    for side in (left, right):
        if side.mean is None:
            return side
    spread = None
    if left.sd is not None and right.sd is not None:
        spread = math.hypot(left.sd, right.sd)
    return Measurement(left.mean - right.mean, spread, min(left.replicas, right.replicas))
