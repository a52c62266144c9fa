"""Versions a study with DVC: its datasets, its checkpoints, its metrics and histories.

A dataset is the same bytes everywhere, so its .dvc files are committed, and are promises: other
bytes are an error. A checkpoint is the same bytes on one type of machine only, so its .dvc file
stays in the git-ignored study and follows the checkpoint.
"""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from aebayes.errors import AebayesError
from aebayes.files import md5, read_json, write_json, write_text

if TYPE_CHECKING:
    from dvc.repo import Repo

HISTORY_KEYS = ("step", "replica")
PLOT_TEMPLATE = "replicas"  # .dvc/plots/replicas.json: mean over replicas, smallest to largest


# Where training ended, and what an experiment that starts from there needs besides.
CHECKPOINTS = ("checkpoint.safetensors", "optimiser.safetensors")
LARGE = 2_000_000  # bytes: arrays of so many go to DVC, and not with reference results to git
# DVC takes this key, wherever it stands, for its own word that a file could not be read.
DVC_NAMES = {"error": "error_rate"}
# By which the best checkpoint of a method on a dataset is chosen: the first that any of its
# experiments has, and whether less of it is better.
CRITERIA = {"error": True, "log_likelihood": False, "nll": True, "parzen": False}


def version_study(study_name: str, experiments: list[str], datasets: list[str], root: Path) -> None:
    """Put datasets and checkpoints into DVC, and tell it the study's metrics and histories.

    Writes `results/<study>/metrics/<experiment>.json` (means over replicas) and, last of all,
    `results/<study>/dvc.yaml`, so that this file says the study is versioned.

    Args:
        study_name: names `results/<study_name>`.
        experiments: those whose checkpoints, metrics and histories are versioned.
        datasets: those the experiments read. One that was made has no `data/raw/<dataset>`.
        root: the project, where `.dvc/` is. Git is not asked for anything.

    Raises:
        AebayesError: a file is missing, a dataset's bytes are not the recorded ones, a folder is a
            link, or DVC fails.
    """
    refuse_links(study_name, root)
    study = root / "results" / study_name
    data = [path for dataset in datasets for path in dataset_paths(dataset, root)]
    checkpoints = [study / "runs" / name / file for name in experiments for file in CHECKPOINTS]
    for path in data + checkpoints:
        if not path.exists():
            raise AebayesError(f"{path} is missing", "run the pipeline, which makes it")
    summarise_metrics(study, experiments)
    arrays = (study / "runs" / name / "arrays.npz" for name in experiments)
    large = [path for path in arrays if path.exists() and path.stat().st_size >= LARGE]
    add_to_dvc(data, checkpoints + large, root)
    write_text(study / "dvc.yaml", yaml.safe_dump(dvc_yaml(study, experiments), sort_keys=False))


def refuse_links(study_name: str, root: Path) -> None:
    """Refuse folders that are links to others: DVC adds nothing inside one.

    Raises:
        AebayesError: there is one.
    """
    study = f"results/{study_name}"
    names = ("data", "data/raw", "data/processed", "results", study, f"{study}/runs")
    for folder in (*(root / name for name in names), *(root / study / "runs").glob("*")):
        if folder.is_symlink():
            raise AebayesError(
                f"{folder} is a link, and DVC versions nothing inside a linked folder",
                "put the whole project where there is room, or mount that folder here (mount "
                "--bind), instead of a link",
            )


def dataset_paths(dataset: str, root: Path) -> list[Path]:
    """What DVC versions of a dataset: the raw folder, where there is one, the arrays, the card."""
    raw = root / "data" / "raw" / dataset
    processed = root / "data" / "processed"
    made = [processed / f"{dataset}.npz", processed / f"{dataset}.json"]
    return [raw, *made] if raw.exists() else made


def summarise_metrics(study: Path, experiments: list[str]) -> None:
    """Write `metrics/<experiment>.json`, {metric: mean}, as `dvc metrics show` lists it.

    Raises:
        AebayesError: a `metrics.json` is missing or lacks the means.
    """
    folder = study / "metrics"
    for name in experiments:
        path = study / "runs" / name / "metrics.json"
        try:
            metrics = read_json(path)["metrics"].items()
            means = {DVC_NAMES.get(key, key): metric["mean"] for key, metric in metrics}
        except (KeyError, TypeError, AttributeError) as problem:
            raise AebayesError(
                f"{path} holds no metrics with means", f"delete it and evaluate {name} again"
            ) from problem
        write_json(folder / f"{name}.json", means)
    for stale in folder.glob("*.json"):
        if stale.stem not in experiments:
            stale.unlink()


def add_to_dvc(data: list[Path], checkpoints: list[Path], root: Path) -> None:
    """Add everything in one go: parallel or repeated `dvc add`s would wait for one lock.

    The files are not linked anew from the cache, so their times of change stay as they are.

    Raises:
        AebayesError: a dataset's bytes are not the recorded ones, or DVC fails.
    """
    with open_repo(root) as repo:
        for path in data:
            refuse_other_bytes(path, repo)
        repo.add([str(path.absolute()) for path in data + checkpoints], relink=False)


@contextmanager
def open_repo(root: Path) -> Iterator["Repo"]:
    """Yield the project's DVC repository, DVC's own errors turned into ours.

    Raises:
        AebayesError: there is no DVC repository at `root`, or DVC fails in the block.
    """
    # Half a second to import, which only this command should pay.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root.absolute())) as repo:
            yield repo
    except (DvcException, OSError, sqlite3.Error) as problem:
        raise AebayesError(
            f"DVC failed under {root}: {problem}",
            "see that .dvc/config is the project's, that no .dvc/config.local overrides it, and "
            "that .dvc/ is writable and the disk has room; then start again",
        ) from problem


def refuse_other_bytes(path: Path, repo: "Repo") -> None:
    """Compare a dataset's file or folder with its .dvc file, if it has one.

    Raises:
        AebayesError: they differ. The .dvc file is left as it is.
    """
    record = path.with_name(f"{path.name}.dvc")
    if not record.exists():
        return
    (out,) = repo.find_outs_by_path(str(path.absolute()))
    if out.changed_checksum():
        raise AebayesError(
            f"dataset {path.name.removesuffix(path.suffix)}: {path} has other bytes than "
            f"{record} records",
            f"delete {path} and run the pipeline again; if the change is meant, delete {record} "
            "instead, run again and commit the new one",
        )


def dvc_yaml(study: Path, experiments: list[str]) -> dict:
    """The study's top-level metrics, plots and artifacts, by paths relative to the study."""
    return {
        "metrics": [f"metrics/{name}.json" for name in experiments],
        "plots": [plot for name in experiments for plot in history_plots(study, name)],
        "artifacts": best_checkpoints(study, experiments),
    }


def best_checkpoints(study: Path, experiments: list[str]) -> dict[str, dict]:
    """DVC's entry for the best checkpoint of each method on each dataset: `iwae-mnist`.

    Raises:
        AebayesError: a metrics.json is missing or broken.
    """
    runs: dict[str, list[tuple[str, dict]]] = {}
    for name in experiments:
        path = study / "runs" / name / "metrics.json"
        content = read_json(path)
        if not {"method", "dataset", "metrics"} <= content.keys():
            raise AebayesError(
                f"{path} does not say of which method and dataset it is",
                f"delete it and evaluate {name} again",
            )
        key = f"{content['method']}-{content['dataset']}".replace("_", "-")
        runs.setdefault(key, []).append((name, content["metrics"]))
    artifacts = {}
    for key, candidates in sorted(runs.items()):
        criterion, name, value = best_of(candidates)
        artifacts[key] = {
            "path": f"runs/{name}/checkpoint.safetensors",
            "type": "model",
            "desc": f"{name}: {criterion} {value:.4g}" if criterion else name,
        }
    return artifacts


def best_of(candidates: list[tuple[str, dict]]) -> tuple[str | None, str, float | None]:
    """The criterion that chose, the best experiment, and its mean; the first if none has any.

    Args:
        candidates: experiments and their metrics.
    """
    for criterion, less in CRITERIA.items():
        means = [
            (metrics[criterion]["mean"], name)
            for name, metrics in candidates
            if metrics.get(criterion, {}).get("mean") is not None
        ]
        if means:
            value, name = min(means) if less else max(means)
            return criterion, name, value
    return None, candidates[0][0], None


def default_remote(root: Path) -> str | None:
    """The name of DVC's default remote; None if it has none.

    Raises:
        AebayesError: there is no DVC repository at `root`.
    """
    with open_repo(root) as repo:
        return repo.config["core"].get("remote")


def pull(pointers: list[Path], remote: str | None, root: Path) -> None:
    """Bring what these .dvc files name, from DVC's cache or from a remote.

    What is in neither stays away: who asked for it looks at what came.

    Raises:
        AebayesError: DVC fails otherwise, or knows no such remote.
    """
    if not pointers and not remote:
        return
    with open_repo(root) as repo:
        if remote and remote not in repo.config["remote"]:
            known = ", ".join(repo.config["remote"]) or "none"
            raise AebayesError(
                f"DVC knows no remote {remote!r}", f"name one of its remotes ({known}), or add it"
            )
        if not pointers:  # DVC would take all
            return
        targets = [str(path.absolute()) for path in pointers]
        if remote or repo.config["core"].get("remote"):
            for_all_there(partial(repo.fetch, remote=remote), targets)
        for_all_there(partial(repo.checkout, force=True), targets)


def for_all_there(command: Callable, targets: list[str]) -> None:
    """Have DVC do something with those targets that are to be had, and not damaged."""
    from dvc.exceptions import CheckoutError, FileTransferError
    from dvc_objects.errors import ObjectFormatError

    try:
        with suppress(CheckoutError, FileTransferError):
            command(targets)
    except ObjectFormatError:  # of a folder's list of files, which ends the command for all
        for target in targets:
            with suppress(CheckoutError, FileTransferError, ObjectFormatError):
                command([target])


def drop_damaged(pointers: list[Path], root: Path) -> set[Path]:
    """Take out of DVC's cache what is not what its name says.

    DVC itself does not look at a read-only file again, neither in a remote nor in its cache.

    Args:
        pointers: the .dvc files that name it.

    Returns:
        those of which anything was damaged.
    """
    damaged = set()
    if not pointers:
        return damaged
    with open_repo(root) as repo:
        for pointer in pointers:
            (out,) = repo.find_outs_by_path(str(pointer.with_suffix("").absolute()))
            for path, expected in cached(out.hash_info.value, repo):
                if path.is_file() and md5(path) != expected:
                    path.unlink()
                    damaged.add(pointer)
    return damaged


def cached(name: str, repo: "Repo") -> Iterator[tuple[Path, str]]:
    """Where DVC caches an object, and its MD5; of a folder also the files that its object lists."""
    path = Path(repo.cache.local.oid_to_path(name))
    yield path, name.removesuffix(".dir")
    if name.endswith(".dir") and path.is_file():
        for entry in json.loads(path.read_bytes()):
            yield from cached(entry["md5"], repo)


def history_plots(study: Path, experiment: str) -> list[dict]:
    """One plot for each quantity in an experiment's history: the phases' losses, the rates.

    Raises:
        AebayesError: the history is missing.
    """
    history = f"runs/{experiment}/history.csv"
    return [
        {
            f"{experiment}: {quantity}": {
                "template": PLOT_TEMPLATE,
                "title": f"{experiment}: {quantity}",
                "x": "step",
                "y": {history: quantity},
            }
        }
        for quantity in history_columns(study / history)
        if quantity not in HISTORY_KEYS
    ]


def history_columns(path: Path) -> list[str]:
    """The names in the first line of a history.

    Raises:
        AebayesError: it cannot be read.
    """
    try:
        with path.open(newline="") as file:
            return next(csv.reader(file), [])
    except OSError as problem:
        raise AebayesError(
            f"cannot read {path}: {problem.strerror}", "run the training that writes it"
        ) from problem
