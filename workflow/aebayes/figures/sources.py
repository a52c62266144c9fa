"""What a figure is drawn from: a study's runs and datasets on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aebayes.config import Study
from aebayes.data.dataset import Dataset, load
from aebayes.errors import AebayesError
from aebayes.files import read_json, read_npz, refuse_unreadable

# By array of arrays.npz: R replicas, S codes, B data points, n images, N test images, M draws, C
# classes, X pixels, G cells or points a side, K numbers of samples, Z latent units of a layer.
SHAPES = {
    "codes": ("R", "S", "B", 2),
    **dict.fromkeys(("samples", "images", "reconstructions"), ("n", "X")),
    "theory_axis": ("G",),
    **dict.fromkeys(("theory_t", "theory_log_ratio", "theory_pmi"), ("R", "B", "G", "G")),
    "bounds_k": ("K",),
    **dict.fromkeys(("bounds", "bounds_error"), ("R", "K")),
    **dict.fromkeys(("unit_variances", "unit_variances_2"), ("R", "Z")),
    "test_codes": ("N", 2),
    "prior_draws": ("M", 2),
    "manifold_axis": ("G",),
    "manifold": ("G", "G", "X"),
    "styles": ("n", "C", "X"),
    "interpolations": ("n", "G", "X"),
    "class_walk": ("C", "G", "X"),
    "heads": ("C", "X"),
    "members": ("C", "M"),
    "embedding": ("N", 2),
    "head_points": ("C", 2),
    "posterior_k": (1,),
    "posterior_images": ("n", "X"),
    "posterior_axes": ("n", 2, "G"),
    **dict.fromkeys([f"posterior_log_{of}" for of in ("p", "q", "q_iw")], ("n", "G", "G")),
    **dict.fromkeys([f"posterior_kl_{of}" for of in ("q", "q_iw")], ("n",)),
}


@dataclass(frozen=True)
class Shown:
    """One labelled experiment of a figure.

    Args:
        label: as the study's figure names it.
        name: as the study names it.
        settings: the experiment's, as the study has them.
        folder: of the run's files.
    """

    label: str
    name: str
    settings: dict
    folder: Path

    @property
    def dataset(self) -> str:
        """The dataset it is trained on."""
        return self.settings["dataset"]

    @property
    def method(self) -> str:
        """The method, where the IWAE's code with the plain average is the paper's VAE."""
        method = self.settings["method"]
        average = method == "iwae" and self.settings["objective"]["weighting"] == "average"
        return "vae" if average else method

    @property
    def samples(self) -> int | None:
        """k, the samples of z in its bound; None if that is no setting of its method."""
        return self.settings["objective"].get("samples")

    @property
    def layers(self) -> int:
        """How many stochastic layers it has."""
        latent = self.settings["model"].get("latent", 1)
        return 1 if isinstance(latent, int) else len(latent)

    @property
    def remedy(self) -> str:
        """The remedy for results of an evaluation that are missing or broken."""
        return f"evaluate the experiment: python -m aebayes evaluate {self.name}"

    def arrays(self, *names: str, **sizes: int) -> list[np.ndarray]:
        """Arrays of arrays.npz.

        Args:
            names: keys of SHAPES.
            sizes: what its letters must stand for; other letters, for one size in all arrays.

        Raises:
            AebayesError: the file is missing or broken, the run has no such array, or it is not of
                numbers or not of that shape.
        """
        path = self.folder / "arrays.npz"
        content = read_npz(path, make=self.remedy)
        for name in names:
            if name not in content:
                raise AebayesError(
                    f"{path} has no array {name!r}: experiment {self.name} is evaluated otherwise",
                    "name an experiment in the study's figure whose evaluation makes it",
                )
            problem = misfit(content[name], SHAPES[name], sizes)
            if problem:
                raise AebayesError(f"{path}: array {name!r} {problem}", self.remedy)
        return [widened(content[name]) for name in names]

    def finite(self, *names: str, **sizes: int) -> list[np.ndarray]:
        """Arrays as `arrays` gives them, all of whose numbers are finite.

        Raises:
            AebayesError: as `arrays`, or a number is not.
        """
        arrays = self.arrays(*names, **sizes)
        for name, array in zip(names, arrays, strict=True):
            if not np.isfinite(array).all():
                path = self.folder / "arrays.npz"
                raise AebayesError(f"{path}: array {name!r} is not finite", self.remedy)
        return arrays

    def metric(self, name: str, replica: int) -> float:
        """One replica's metric.

        Raises:
            AebayesError: metrics.json is missing or lacks it, or it is not a number.
        """
        path = self.folder / "metrics.json"
        try:
            value = read_json(path, self.remedy)["metrics"][name]["replicas"][replica]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AebayesError(f"{path} has no {name} of replica {replica}", self.remedy)
        return float(value)

    def history(self, phases: Sequence[str]) -> pd.DataFrame:
        """history.csv: step, replica, and a column a phase, which may hold NaN but no text.

        Raises:
            AebayesError: it is missing or broken, or lacks a column or its numbers.
        """
        path = self.folder / "history.csv"
        train = f"train the experiment: python -m aebayes train {self.name}"
        try:
            # An empty field is no number, as a line cut short would have it.
            table = pd.read_csv(path, keep_default_na=False, na_values=["nan"])
        except FileNotFoundError as problem:
            raise AebayesError(f"{path} is missing", train) from problem
        except OSError as problem:
            refuse_unreadable(path, problem)
        except ValueError as problem:  # pandas' errors are ValueErrors
            raise AebayesError(f"{path} is not CSV: {problem}", train) from problem
        if table.empty:
            raise AebayesError(f"{path} has no lines", train)
        for column in ("step", "replica", *phases):
            if column not in table.columns:
                raise AebayesError(f"{path} has no column {column}", train)
            if table[column].dtype.kind not in "iuf":
                raise AebayesError(f"{path}: column {column} holds what is not a number", train)
        return table


def widened(array: np.ndarray) -> np.ndarray:
    """An array in at least single precision: half is for keeping, not for sums."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def misfit(array: np.ndarray, shape: tuple[str | int, ...], sizes: dict[str, int]) -> str | None:
    """What is wrong with an array; None if nothing is.

    Args:
        shape: of letters and numbers.
        sizes: what letters stand for; those met for the first time are added.
    """
    if array.dtype.kind not in "iuf":
        return f"holds {array.dtype}, expected numbers"
    fits = len(array.shape) == len(shape) and 0 not in array.shape
    for size, letter in zip(array.shape, shape, strict=False):
        fits &= size == (sizes.setdefault(letter, size) if isinstance(letter, str) else letter)
    if fits:
        return None
    expected = ", ".join(
        f"{letter} = {sizes[letter]}" if letter in sizes else str(letter) for letter in shape
    )
    return f"is of shape {array.shape}, expected ({expected})"


@dataclass(frozen=True)
class Sources:
    """Where one figure of a study finds its inputs."""

    name: str
    study: Study
    runs: Path
    processed: Path

    def experiments(self) -> list[Shown]:
        """The figure's experiments whose datasets can be had, in the study's order."""
        return [
            # A label is text: what stands between two of matplotlib's dollars is none.
            Shown(label.replace("$", r"\$"), name, self.study.experiment(name), self.runs / name)
            for label, name in self.study.content["figures"][self.name]["experiments"].items()
            if self.study.present([name])
        ]

    def only_experiment(self) -> Shown:
        """The experiment of a figure that can show no more than one."""
        (shown,) = self.experiments()
        return shown

    def only_dataset(self) -> Dataset:
        """The dataset of a figure that can show no more than one, named or its experiments' own.

        Raises:
            AebayesError: there are several, or its files are missing or broken.
        """
        named = self.study.content["figures"][self.name].get("datasets", [])
        names = [name for name in named if name not in self.study.absent]
        names = names if named else [shown.dataset for shown in self.experiments()]
        names = list(dict.fromkeys(names))
        if len(names) > 1:
            raise AebayesError(
                f"{self.study.path}: figures.{self.name} shows one of datasets, not {len(names)}: "
                f"{', '.join(names)}",
                "keep one of them",
            )
        return self.dataset(names[0])

    def phases(self, experiment: Shown) -> list[str]:
        """The phases that the experiment trains."""
        return list(self.study.experiment(experiment.name)["training"]["phases"])

    def dataset(self, name: str) -> Dataset:
        """A prepared dataset.

        Raises:
            AebayesError: it is missing or broken.
        """
        return load(self.processed / f"{name}.npz")
