"""Train one experiment: data in, checkpoint, history and provenance out."""

import time
from pathlib import Path
from tempfile import TemporaryFile

import torch

from aebayes.data.dataset import Dataset, load
from aebayes.devices import device_name, use_device
from aebayes.errors import AebayesError
from aebayes.files import sha256, sha256_of, write_json, write_text
from aebayes.methods.make import make_method
from aebayes.provenance import code_of, provenance
from aebayes.runs import RunFiles, save_checkpoint, with_steps, without_evaluation
from aebayes.streams import Streams
from aebayes.training.batches import Batches
from aebayes.training.loop import Interruptions, Trainer


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
    for needed in (folder, resume.parent):
        require_writable(needed)
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
    save_checkpoint(files.checkpoint, trainer.method, experiment, dataset, replicas)
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


def require_writable(folder: Path) -> None:
    """Find out before training, not after it, that a folder takes no files.

    Raises:
        AebayesError: it does not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise AebayesError(
            f"cannot write to {folder}: {problem.strerror or problem}",
            "make it a writable folder with room, or name another",
        ) from problem


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
