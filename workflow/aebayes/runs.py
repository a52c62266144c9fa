"""A run: where its files lie, and its checkpoint, told apart from every other run's."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aebayes.data.dataset import Dataset
from aebayes.errors import AebayesError
from aebayes.files import find_json, sha256
from aebayes.methods.base import Method
from aebayes.methods.make import make_method
from aebayes.settings import first_difference, with_steps, without_evaluation
from aebayes.tensors import UNREADABLE, load_tensors, save_tensors


@dataclass(frozen=True)
class RunFiles:
    """Where a run's files lie: results/<study>/runs/<experiment>/."""

    checkpoint: Path
    optimiser: Path
    history: Path
    training: Path

    @classmethod
    def under(cls, folder: Path) -> "RunFiles":
        """The files of the run in `folder`."""
        return cls(
            folder / "checkpoint.safetensors",
            folder / "optimiser.safetensors",
            folder / "history.csv",
            folder / "training.json",
        )


def save_checkpoint(
    path: Path, method: Method, experiment: dict, dataset: Dataset, replicas: list[int]
) -> None:
    """Write a method's tensors, with what tells them from another run's."""
    about = {
        "experiment": without_evaluation(experiment),
        "replicas": replicas,
        "dataset_sha256": dataset.sha256,
    }
    save_tensors(path, method.state_dict(), about)


def read_tensors(path: Path, keys: set[str], again: str) -> tuple[dict[str, Tensor], dict]:
    """A file of a run: tensors and header, as `load_tensors`.

    Raises:
        AebayesError: the file is missing or not whole; `again` is the remedy.
    """
    try:
        return load_tensors(path, keys)
    except FileNotFoundError as problem:
        raise AebayesError(f"{path} is missing", again) from problem
    except UNREADABLE as problem:
        raise AebayesError(f"{path} is not a readable checkpoint: {problem}", again) from problem


def train_again(name: str) -> str:
    """The remedy where a run's files are of no use."""
    return f"train the experiment again: python -m aebayes train {name}"


def load_checkpoint(
    path: Path, experiment: dict, dataset: Dataset, device: torch.device
) -> tuple[Method, list[int]]:
    """The trained method, and the numbers of its replicas.

    Raises:
        AebayesError: the file is missing or not whole, or belongs to another experiment, to other
            settings of this one, or to other data.
    """
    again = train_again(experiment["name"])
    tensors, about = read_tensors(path, {"experiment", "replicas", "dataset_sha256"}, again)
    expected = with_steps(experiment, len(dataset.split("train")[0]))
    difference = first_difference(about["experiment"], without_evaluation(expected))
    if difference:
        raise AebayesError(
            f"{path} is not a checkpoint of experiment {experiment['name']} as the study has it: "
            f"{difference}",
            again,
        )
    if about["dataset_sha256"] != dataset.sha256:
        raise AebayesError(f"{path} was trained on other bytes of {dataset.name}", again)
    method = make_method(expected, torch.zeros(dataset.shape), about["replicas"], device)
    misfit = first_misfit(tensors, method.state_dict())
    if misfit:
        raise AebayesError(f"{path} was made by another version of the library: {misfit}", again)
    method.load_state_dict(tensors)
    return method.eval().requires_grad_(False), about["replicas"]


def check_trained(files: RunFiles, name: str, *kinds: str) -> None:
    """Check that files of a run are those that training.json beside them, if it is there, tells of.

    Args:
        kinds: which, "checkpoint" or "optimiser".

    Raises:
        AebayesError: one is missing, another, or damaged.
    """
    facts = find_json(files.training) or {}
    for kind in kinds:
        path, known = getattr(files, kind), facts.get(f"{kind}_sha256")
        if known and not (path.is_file() and sha256(path) == known):
            found = "not the one that" if path.is_file() else "missing, which"
            raise AebayesError(
                f"{path} is {found} {files.training} tells of",
                f"bring it back, if the study was finished: dvc checkout --force {path}; or else "
                f"{train_again(name)}",
            )


def first_misfit(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> str | None:
    """The first tensor that only one of the two has, or has in another shape; None if none is."""
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted:
            return f"it has a tensor {name}, which the experiment's model has not"
        if name not in found:
            return f"it has no tensor {name}"
        shapes = tuple(found[name].shape), tuple(wanted[name].shape)
        if shapes[0] != shapes[1]:
            return f"its tensor {name} has the shape {shapes[0]}, not {shapes[1]}"
    return None
