"""What a figure is drawn from: a study's runs and datasets on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aebayes.config import Study
from aebayes.data.dataset import Dataset, load
from aebayes.errors import AebayesError
from aebayes.files import read_json, read_npz


@dataclass(frozen=True)
class Shown:
    """One labelled experiment of a figure.

    Args:
        label: as the study's figure names it.
        folder: of the run's files.
    """

    label: str
    name: str
    method: str
    dataset: str
    folder: Path

    def arrays(self, *names: str) -> list[np.ndarray]:
        """Arrays of arrays.npz.

        Raises:
            AebayesError: the file is missing or broken, or the run has no such array.
        """
        path = self.folder / "arrays.npz"
        content = read_npz(path)
        for name in names:
            if name not in content:
                raise AebayesError(
                    f"{path} has no array {name!r}: experiment {self.name} is evaluated otherwise",
                    "name an experiment in the study's figure whose evaluation makes it",
                )
        return [content[name] for name in names]

    def metric(self, name: str, replica: int) -> float:
        """One replica's metric.

        Raises:
            AebayesError: metrics.json is missing or lacks it.
        """
        path = self.folder / "metrics.json"
        try:
            return float(read_json(path)["metrics"][name]["replicas"][replica])
        except (KeyError, IndexError, TypeError) as problem:
            raise AebayesError(
                f"{path} has no {name} of replica {replica}",
                f"evaluate the experiment again: python -m aebayes evaluate {self.name}",
            ) from problem

    def history(self) -> pd.DataFrame:
        """history.csv: step, replica, and a column a phase.

        Raises:
            AebayesError: it is missing or is no such file.
        """
        path = self.folder / "history.csv"
        try:
            table = pd.read_csv(path)
        except FileNotFoundError as problem:
            raise AebayesError(f"{path} is missing", "run the step that makes it") from problem
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as problem:
            raise AebayesError(f"{path} is not CSV: {problem}", "train again") from problem
        if not {"step", "replica"} <= set(table.columns):
            raise AebayesError(f"{path} has no columns step and replica", "train again")
        return table


@dataclass(frozen=True)
class Sources:
    """Where one figure of a study finds its inputs."""

    name: str
    study: Study
    runs: Path
    processed: Path

    def experiments(self) -> list[Shown]:
        """The figure's experiments, in the study's order."""
        shown = []
        for label, name in self.study.content["figures"][self.name]["experiments"].items():
            experiment = self.study.experiment(name)
            shown.append(
                Shown(label, name, experiment["method"], experiment["dataset"], self.runs / name)
            )
        return shown

    def only_experiment(self) -> Shown:
        """The experiment of a figure that can show no more than one.

        Raises:
            AebayesError: the study names several.
        """
        experiments = self.experiments()
        self._refuse_more([shown.label for shown in experiments], "experiments")
        return experiments[0]

    def only_dataset(self) -> Dataset:
        """The dataset of a figure that can show no more than one, named or its experiments' own.

        Raises:
            AebayesError: there are several, or its files are missing or broken.
        """
        named = self.study.content["figures"][self.name].get("datasets", [])
        names = list(named) or [shown.dataset for shown in self.experiments()]
        self._refuse_more(list(dict.fromkeys(names)), "datasets")
        return self.dataset(names[0])

    def _refuse_more(self, names: list[str], kind: str) -> None:
        if len(names) > 1:
            raise AebayesError(
                f"{self.study.path}: figures.{self.name} shows one of {kind}, not {len(names)}: "
                f"{', '.join(names)}",
                "keep one of them",
            )

    def phases(self, experiment: Shown) -> list[str]:
        """The phases that the experiment trains."""
        return list(self.study.experiment(experiment.name)["training"]["phases"])

    def dataset(self, name: str) -> Dataset:
        """A prepared dataset.

        Raises:
            AebayesError: it is missing or broken.
        """
        return load(self.processed / f"{name}.npz")
