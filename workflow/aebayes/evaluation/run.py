"""Evaluate one experiment: checkpoint and data in, metrics and arrays out."""

from pathlib import Path

import torch
from torch import Tensor

from aebayes.compilation import compiler_found
from aebayes.data.dataset import Dataset, load
from aebayes.devices import device_name, use_device
from aebayes.errors import AebayesError
from aebayes.evaluation.annealed_likelihood import Parts, annealed_metrics
from aebayes.evaluation.classes import class_metrics
from aebayes.evaluation.exact import exact_metrics
from aebayes.evaluation.recognise import recognition
from aebayes.evaluation.sampled import sampled_metrics
from aebayes.files import sha256, sha256_of, write_json, write_npz
from aebayes.provenance import Began, code_of, provenance
from aebayes.runs import RunFiles, check_trained, load_checkpoint
from aebayes.streams import Streams

TRAIN_AT_ONCE = 1000


def pixels_of(dataset: Dataset, split: str, device: torch.device) -> tuple[Tensor, int]:
    """A split's images (N, X), uint8, and the intensity that means 1."""
    images, _ = dataset.split(split)
    return torch.from_numpy(images).flatten(1).to(device), dataset.scale


def as_trained_on(images: Tensor, scale: int, binarise: bool, streams: Streams) -> Tensor:
    """Images (N, X) for each replica, binarised at random if they are in training: (R, N, X)."""
    x = (images.float() / scale).expand(len(streams), -1, -1)
    return (streams.uniform(*x.shape[1:]) < x).float() if binarise else x


def check_images(experiment: dict, there: int) -> None:
    """Check that there are as many test images as the bound is asked of.

    Raises:
        AebayesError: there are fewer; names the key.
    """
    asked = experiment["evaluation"].get("importance_images", 0)
    if asked > there:
        raise AebayesError(
            f"experiments.{experiment['name']}.evaluation.importance_images: {asked} of {there} "
            f"test images of {experiment['dataset']}",
            "ask for fewer, or leave it out: then it is all",
        )


def evaluate(
    experiment: dict, data: Path, folder: Path, device: str = "auto", resume: Path | None = None
) -> None:
    """Write metrics.json, arrays.npz and evaluation.json beside the checkpoint in `folder`.

    Args:
        resume: where annealing keeps what it has, if it is to go on after a kill.

    Raises:
        AebayesError: the checkpoint is missing, broken or another experiment's; bad data; more
            images are asked for than there are.
    """
    began = Began.now()
    dataset = load(data)
    settings, method_name = experiment["evaluation"], experiment["method"]
    check_images(experiment, len(dataset.split("test")[0]))
    # Exact evaluation is small, and its nearest neighbours and counts are the CPU's in any case.
    device = "cpu" if settings["kind"] == "exact" else device
    where = use_device(device, experiment["training"]["threads"])
    files = RunFiles.under(folder)
    checkpoint = files.checkpoint
    check_trained(files, experiment["name"], "checkpoint")
    method, replicas = load_checkpoint(checkpoint, experiment, dataset, where)
    streams = Streams(experiment["training"]["seed"], replicas, "evaluation", where)
    binarise = experiment["binarisation"] == "dynamic"
    if settings["kind"] == "classes":
        metrics, arrays = class_metrics(
            method, dataset, streams, experiment["objective"].get("labelled")
        )
    elif settings["kind"] == "exact":
        x = as_trained_on(*pixels_of(dataset, "test", where), binarise, streams)
        metrics, arrays = exact_metrics(method, x, settings, streams)
    else:
        x = as_trained_on(*pixels_of(dataset, "test", where), binarise, streams)
        images, scale = pixels_of(dataset, "train", where)
        train = (
            as_trained_on(part, scale, binarise, streams) for part in images.split(TRAIN_AT_ONCE)
        )
        compile = experiment["training"]["compile"]
        held_out = None
        if "parzen_samples" in settings:
            held_out = as_trained_on(*pixels_of(dataset, "validation", where), binarise, streams)
        metrics, arrays = sampled_metrics(method, x, train, settings, streams, compile, held_out)
        if settings.get("recognise"):
            metrics |= recognition(method.model, dataset, streams)
        if "annealing" in settings:
            about = [settings["annealing"], sha256(checkpoint), code_of("evaluate", method_name)]
            about += [dataset.sha256, str(where), compile, torch.__version__]
            chances = Streams(experiment["training"]["seed"], replicas, "annealing", where)
            parts = Parts(resume, sha256_of(about))
            metrics |= annealed_metrics(
                method.model, x, settings["annealing"], chances, compile, parts
            )

    write_npz(folder / "arrays.npz", arrays)
    content = {
        "experiment": experiment["name"],
        "method": method_name,
        "dataset": experiment["dataset"],
        "evaluation": settings,
        "dataset_sha256": dataset.sha256,
        "checkpoint_sha256": sha256(checkpoint),
        "metrics": {name: metric.summary() for name, metric in metrics.items()},
    }
    write_json(folder / "metrics.json", content)
    facts = {
        "device": device_name(where),
        "threads": torch.get_num_threads(),
        "compiled": experiment["training"]["compile"] and compiler_found(),
        "code_sha256": code_of("evaluate", method_name),
        "metrics_sha256": sha256(folder / "metrics.json"),
        "arrays_sha256": sha256(folder / "arrays.npz"),
    }
    libraries = ("torch", "numpy", "scipy", "scikit-learn", "safetensors")
    write_json(folder / "evaluation.json", provenance(libraries, began, **facts))
    if resume is not None:
        resume.unlink(missing_ok=True)
