"""Evaluate one experiment: checkpoint and data in, metrics and arrays out."""

import time
from pathlib import Path

import torch

from aebayes.data.dataset import load
from aebayes.devices import device_name, use_device
from aebayes.evaluation.exact import exact_metrics
from aebayes.evaluation.sampled import sampled_metrics
from aebayes.files import sha256, write_json, write_npz
from aebayes.provenance import code_of, provenance
from aebayes.runs import RunFiles, load_checkpoint
from aebayes.streams import Streams


def evaluate(experiment: dict, data: Path, folder: Path, device: str = "auto") -> None:
    """Write metrics.json, arrays.npz and evaluation.json beside the checkpoint in `folder`.

    Raises:
        AebayesError: the checkpoint is missing, broken or another experiment's; bad data.
    """
    began = time.time()
    dataset = load(data)
    settings = experiment["evaluation"]
    # Exact evaluation is small, and its nearest neighbours and counts are the CPU's in any case.
    device = "cpu" if settings["kind"] == "exact" else device
    where = use_device(device, experiment["training"]["threads"])
    checkpoint = RunFiles.under(folder).checkpoint
    method, replicas = load_checkpoint(checkpoint, experiment, dataset, where)
    streams = Streams(experiment["training"]["seed"], replicas, "evaluation", where)
    images, _ = dataset.split("test")
    x = torch.from_numpy(images).flatten(1).to(where).float() / dataset.scale
    x = x.expand(len(replicas), -1, -1)  # (R, N, X)
    if experiment["binarisation"] == "dynamic":
        x = (streams.uniform(*x.shape[1:]) < x).float()
    estimate = {"exact": exact_metrics, "sampled": sampled_metrics}[settings["kind"]]
    metrics, arrays = estimate(method, x, settings, streams)

    write_npz(folder / "arrays.npz", arrays)
    content = {
        "experiment": experiment["name"],
        "method": experiment["method"],
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
        "code_sha256": code_of("evaluate", experiment["method"]),
        "metrics_sha256": sha256(folder / "metrics.json"),
        "arrays_sha256": sha256(folder / "arrays.npz"),
    }
    libraries = ("torch", "numpy", "scipy", "safetensors")
    write_json(folder / "evaluation.json", provenance(libraries, began, **facts))
