"""Train one experiment: data in, checkpoint, history and provenance out."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from aebayes.data.dataset import Dataset, load
from aebayes.devices import device_name, use_device
from aebayes.errors import AebayesError
from aebayes.files import sha256, sha256_of, write_json, write_text
from aebayes.methods import Method, make_method
from aebayes.provenance import code_of, provenance
from aebayes.streams import Streams
from aebayes.training.batches import Batches
from aebayes.training.loop import Interruptions, Trainer
from aebayes.training.state import UNREADABLE, load_tensors, save_tensors


@dataclass(frozen=True)
class RunFiles:
    """Where a run's files lie: results/<study>/runs/<experiment>/."""

    checkpoint: Path
    history: Path
    training: Path

    @classmethod
    def under(cls, folder: Path) -> "RunFiles":
        """The files of the run in `folder`."""
        return cls(
            folder / "checkpoint.safetensors", folder / "history.csv", folder / "training.json"
        )


def with_steps(experiment: dict, images: int) -> dict:
    """The experiment with `training.epochs`, if that is what it gives, turned into `steps`."""
    training = dict(experiment["training"])
    if "epochs" in training:
        per_epoch = Batches.per_epoch(images, training["batch"])
        training["steps"] = training.pop("epochs") * per_epoch
    return {**experiment, "training": training}


def without_evaluation(experiment: dict) -> dict:
    """What training depends on."""
    return {key: value for key, value in experiment.items() if key != "evaluation"}


def first_difference(found: dict, expected: dict, key: str = "") -> str | None:
    """Where two settings first differ, in words; None if they are equal."""
    for name in sorted({*found, *expected}):
        here, there = found.get(name), expected.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            inside = first_difference(here, there, f"{key}{name}.")
            if inside:
                return inside
        elif here != there:
            return f"{key}{name} is {here!r} there and {there!r} in the study"
    return None


def train(
    experiment: dict,
    data: Path,
    folder: Path,
    resume: Path,
    device: str = "auto",
    interruptions: Interruptions | None = None,
    replicas: list[int] | None = None,
) -> None:
    """Train every replica of an experiment, or go on with it, and write its files to `folder`.

    Args:
        experiment: from `Study.experiment`.
        data: the prepared dataset's npz.
        resume: the state file; removed when all is written.
        replicas: which replicas, by number; all of them unless told.

    Raises:
        Interrupted: stopped early with its state saved.
        AebayesError: bad data, a loss that is not finite, a folder that cannot be written.
    """
    began = time.time()
    dataset = load(data)
    images, _ = dataset.split("train")
    experiment = with_steps(experiment, len(images))
    replicas = replicas or list(range(experiment["training"]["replicas"]))
    where = use_device(device, experiment["training"]["threads"])
    code = code_of("train", experiment["method"])
    depends_on = [without_evaluation(experiment), replicas, dataset.sha256, code, str(where)]
    fingerprint = sha256_of([*depends_on, torch.__version__])
    trainer = make_trainer(experiment, dataset, replicas, where, resume, fingerprint)
    trainer.run(interruptions or Interruptions())

    files = RunFiles.under(folder)
    about = {
        "experiment": without_evaluation(experiment),
        "replicas": replicas,
        "dataset_sha256": dataset.sha256,
    }
    save_tensors(files.checkpoint, trainer.method.state_dict(), about)
    write_text(files.history, trainer.history.csv())
    facts = {
        "experiment": experiment,
        "device": device_name(where),
        "training_seconds": round(trainer.seconds, 1),
        "threads": torch.get_num_threads(),
        "dataset_sha256": dataset.sha256,
        "checkpoint_sha256": sha256(files.checkpoint),
        "code_sha256": code,
    }
    write_json(files.training, provenance(("torch", "numpy", "safetensors"), began, **facts))
    resume.unlink(missing_ok=True)


def make_trainer(
    experiment: dict,
    dataset: Dataset,
    replicas: list[int],
    device: torch.device,
    resume: Path,
    fingerprint: str,
) -> Trainer:
    """Put data, networks and streams on the device."""
    settings = experiment["training"]
    images, _ = dataset.split("train")
    x = torch.from_numpy(images).flatten(1).to(device)  # (N, X)
    mean = x.double().mean(0).float().cpu() / dataset.scale
    method = make_method(experiment, mean, replicas, device)
    streams = Streams(settings["seed"], replicas, "training", device)
    binarise = experiment["binarisation"] == "dynamic"
    batches = Batches(x, dataset.scale, settings["batch"], binarise, streams)
    return Trainer(method, batches, streams, experiment, replicas, resume, fingerprint)


def load_checkpoint(
    path: Path, experiment: dict, dataset: Dataset, device: torch.device
) -> tuple[Method, list[int]]:
    """The trained method, and the numbers of its replicas.

    Raises:
        AebayesError: the file is missing or not whole, or belongs to another experiment, to other
            settings of this one, or to other data.
    """
    again = "train the experiment again: python -m aebayes train " + experiment["name"]
    if not path.exists():
        raise AebayesError(f"{path} is missing", again)
    try:
        tensors, about = load_tensors(path)
    except UNREADABLE as problem:
        raise AebayesError(f"{path} is not a readable checkpoint: {problem}", again) from problem
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
    method = make_method(expected, torch.zeros(dataset.pixels), about["replicas"], device)
    method.load_state_dict(tensors)
    return method.eval(), about["replicas"]
