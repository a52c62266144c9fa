"""Train one experiment: data in, checkpoint, history and provenance out."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import torch
from torch import Tensor

from aebayes.compilation import compiler_found
from aebayes.data.dataset import Dataset, load
from aebayes.devices import device_name, precision_found, use_device
from aebayes.errors import AebayesError
from aebayes.evaluation.classes import ErrorTracker
from aebayes.files import sha256, sha256_of, write_json, write_text
from aebayes.methods.make import make_method
from aebayes.provenance import Began, code_of, provenance
from aebayes.runs import RunFiles, check_trained, read_tensors, save_checkpoint, train_again
from aebayes.settings import first_difference, with_steps, without_evaluation
from aebayes.streams import Streams
from aebayes.tensors import save_tensors
from aebayes.training.batches import Batches
from aebayes.training.labels import hide_others, labelled_images
from aebayes.training.loop import Interruptions, Trainer
from aebayes.training.optimisers import runs_at

SUMMED_AT_ONCE = 1000  # images: a sum of bytes makes integers of them first


def train(
    experiment: dict,
    data: Path,
    folder: Path,
    resume: Path,
    device: str = "auto",
    interruptions: Interruptions | None = None,
    replicas: list[int] | None = None,
    source: Path | None = None,
) -> None:
    """Train every replica of an experiment, or go on with it, and write its files to `folder`.

    Args:
        experiment: from `Study.experiment`.
        data: the prepared dataset's npz.
        resume: the state file; removed when all is written.
        replicas: which replicas, by number; all of them unless told.
        source: the folder of the run that the experiment starts from, if it starts from one.

    Raises:
        Interrupted: stopped early with its state saved.
        AebayesError: bad data, a loss that is not finite, a folder that cannot be written.
    """
    began = Began.now()
    for needed in (folder, resume.parent):
        require_writable(needed)
    dataset = load(data)
    if dataset.name != experiment["dataset"]:
        raise AebayesError(
            f"{data} is of the dataset {dataset.name}, and experiment {experiment['name']} is "
            f"trained on {experiment['dataset']}",
            "give it that dataset's file",
        )
    images, _ = dataset.split("train")
    experiment = with_steps(experiment, len(images))
    check_spans(experiment)
    replicas = replicas or list(range(experiment["training"]["replicas"]))
    where = use_device(device, experiment["training"]["threads"])
    code = code_of("train", experiment["method"])
    start = Start.of(experiment, source, dataset, replicas) if source else None
    compiled = experiment["training"]["compile"] and compiler_found()
    precision = precision_found(experiment["training"]["precision"], where)
    depends_on = [without_evaluation(experiment), replicas, dataset.sha256, code, str(where)]
    depends_on += [compiled, precision, start.sha256 if start else None]
    fingerprint = sha256_of([*depends_on, torch.__version__])
    trainer = make_trainer(experiment, dataset, replicas, where, resume, fingerprint)
    if start:
        trainer.start_from(start.method, start.optimisers)
    trainer.run(interruptions or Interruptions())

    files = RunFiles.under(folder)
    save_checkpoint(files.checkpoint, trainer.method, experiment, dataset, replicas)
    checkpoint = sha256(files.checkpoint)
    save_tensors(files.optimiser, trainer.optimiser_tensors(), {"checkpoint_sha256": checkpoint})
    write_text(files.history, trainer.history.csv())
    facts = {
        "experiment": experiment,
        "device": device_name(where),
        "training_seconds": round(trainer.seconds, 1),
        "processor_seconds": round(trainer.processor_seconds, 1),
        "threads": torch.get_num_threads(),
        "compiled": compiled,
        "precision": precision,
        "dataset_sha256": dataset.sha256,
        "started_from_sha256": start.sha256 if start else None,
        "started_from_optimiser_sha256": start.optimiser_sha256 if start else None,
        "checkpoint_sha256": checkpoint,
        "optimiser_sha256": sha256(files.optimiser),
        "history_sha256": sha256(files.history),
        "code_sha256": code,
    }
    if isinstance(experiment["objective"].get("labelled"), int):
        known = labelled_of(experiment, dataset, replicas)
        facts["labelled_images"] = [" ".join(map(str, row)) for row in known.tolist()]
    write_json(files.training, provenance(("torch", "numpy", "safetensors"), began, **facts))
    resume.unlink(missing_ok=True)


@dataclass(frozen=True)
class Start:
    """Where another run ended: its networks' tensors and its optimisers', by name.

    Args:
        sha256: of its checkpoint.
        optimiser_sha256: of the file of its optimisers' state.
    """

    method: dict[str, Tensor]
    optimisers: dict[str, Tensor]
    sha256: str
    optimiser_sha256: str

    @classmethod
    def of(cls, experiment: dict, folder: Path, dataset: Dataset, replicas: list[int]) -> "Start":
        """The end of the run in `folder`, for an experiment that starts from it.

        Raises:
            AebayesError: a file is missing, broken, or of a run with other networks, data or
                replicas.
        """
        name = experiment["start_from"]
        again = train_again(name)
        files = RunFiles.under(folder)
        check_trained(files, name, "checkpoint", "optimiser")
        method, about = read_tensors(files.checkpoint, {"experiment", "replicas"}, again)
        found = {
            "model": about["experiment"]["model"],
            "replicas": about["replicas"],
            "data": about.get("dataset_sha256"),
        }
        expected = {"model": experiment["model"], "replicas": replicas, "data": dataset.sha256}
        difference = first_difference(found, expected)
        if difference:
            raise AebayesError(
                f"{files.checkpoint} is no start for {experiment['name']}: {difference}", again
            )
        checkpoint = sha256(files.checkpoint)
        optimisers, about = read_tensors(files.optimiser, {"checkpoint_sha256"}, again)
        if about["checkpoint_sha256"] != checkpoint:
            raise AebayesError(f"{files.optimiser} is of another checkpoint", again)
        return cls(method, optimisers, checkpoint, sha256(files.optimiser))


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
    check_classes(experiment, dataset)
    images, classes = dataset.split("train")
    x, labels = torch.from_numpy(images).flatten(1).to(device), torch.from_numpy(classes)  # (N, X)
    known = None
    if "labelled" in experiment["objective"]:
        known = labelled_of(experiment, dataset, replicas)
        labels = hide_others(labels, known, dataset.classes)
        known = known.to(device)
    total = sum(part.sum(0, dtype=torch.int64) for part in x.split(SUMMED_AT_ONCE))
    mean = (total.double() / len(x)).float().cpu() / dataset.scale
    method = make_method(experiment, mean.view(dataset.shape), replicas, device)
    streams = Streams(settings["seed"], replicas, "training", device)
    binarise = experiment["binarisation"] == "dynamic"
    batches = Batches(
        x,
        labels.to(device),
        dataset.scale,
        settings["batch"],
        binarise,
        streams,
        known if method.takes_labelled else None,
    )
    track = None
    if "track" in settings:
        track = ErrorTracker(method, dataset, settings["track"], len(replicas), device)
    return Trainer(method, batches, streams, experiment, replicas, resume, fingerprint, track)


def labelled_of(experiment: dict, dataset: Dataset, replicas: list[int]) -> Tensor:
    """The training images whose labels the experiment is told: (R, L)."""
    _, classes = dataset.split("train")
    return labelled_images(torch.from_numpy(classes), dataset.classes, experiment, replicas)


def check_classes(experiment: dict, dataset: Dataset) -> None:
    """Check that what is told labels knows as many classes as the data have.

    Raises:
        AebayesError: the decoder, or the encoder or prior that labels inform, has another number of
            them; or the data have none, and the encoder's could be compared with nothing.
    """
    model, classes = experiment["model"], dataset.classes
    if "classes" in model.get("encoder", {}) and classes < 2:
        raise AebayesError(
            f"experiment {experiment['name']}: {dataset.name} has no classes to tell",
            "take a dataset whose images are labelled",
        )
    told = {"model.decoder.classes": model.get("decoder", {}).get("classes", classes)}
    if "labelled" in experiment["objective"]:
        if "classes" in model["encoder"]:
            told["model.encoder.classes"] = model["encoder"]["classes"]
        elif model["prior"]["kind"] == "categorical":
            told["model.latent"] = model["latent"]
        else:
            told["model.prior.classes"] = model["prior"]["classes"]
    for key, count in told.items():
        if count != classes:
            raise AebayesError(
                f"experiment {experiment['name']}: {key} is {count}, but {dataset.name} has "
                f"{classes} classes, whose labels it is told",
                f"make {key} {classes}",
            )


def check_spans(experiment: dict) -> None:
    """Check that every phase runs at all.

    Raises:
        AebayesError: a phase's span lies between two steps.
    """
    training = experiment["training"]
    for name, phase in training["phases"].items():
        if not any(runs_at(phase, step, training["steps"]) for step in range(training["steps"])):
            raise AebayesError(
                f"experiment {experiment['name']}: phases.{name}.span {phase['span']} holds none "
                f"of {training['steps']} steps",
                "widen the span, or train for longer",
            )
