"""A metric: one number a replica, with its unit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

NATS = "nats/image"


@dataclass(frozen=True)
class Metric:
    """One number for each replica.

    Args:
        replicas: the numbers, in the order of the replicas.
        unit: what they are counted in.
        standard_error: of each number, where the estimator knows its own.
        images: what each number is the mean of, for comparisons image by image.
    """

    replicas: list[float]
    unit: str = NATS
    standard_error: list[float] | None = None
    images: list[list[float]] | None = None

    @classmethod
    def of(cls, values: Tensor | Iterable[float], unit: str = NATS, **more: list) -> "Metric":
        """A metric from a tensor (R,) or any numbers."""
        numbers = values.tolist() if isinstance(values, Tensor) else [float(v) for v in values]
        return cls(numbers, unit, **more)

    def summary(self) -> dict:
        """As metrics.json holds it: mean and sample standard deviation over replicas.

        A metric that is infinite for some replica (a KL from a degenerate q) has no mean: null.
        """
        values = [value if math.isfinite(value) else None for value in self.replicas]
        entry = {"unit": self.unit, "replicas": values, "mean": None, "sd": None}
        if None not in values:
            mean = math.fsum(values) / len(values)
            entry["mean"] = mean
            if len(values) > 1:
                squares = math.fsum((value - mean) ** 2 for value in values)
                entry["sd"] = math.sqrt(squares / (len(values) - 1))
        if self.standard_error is not None and all(map(math.isfinite, self.standard_error)):
            entry["standard_error"] = self.standard_error
        if self.images is not None and None not in values:
            entry["images"] = self.images
        return entry


def over_images(values: Tensor, unit: str = NATS, keep: bool = False) -> Metric:
    """The mean over images (R, N), with its standard error.

    Args:
        keep: the images' own values, too.
    """
    values = values.double()
    errors = values.std(1) / math.sqrt(values.shape[1])
    more = {"images": values.tolist()} if keep else {}
    return Metric.of(values.mean(1), unit, standard_error=errors.tolist(), **more)
