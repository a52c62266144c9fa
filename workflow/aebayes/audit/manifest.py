"""A study's manifest: every artefact with its hash, and the step that made it from what.

manifest.json holds two maps. `artefacts` has by name SHA-256, size and the step that made it;
`steps` has by name rule, parameters, the hashes of what it read and made, and where, when and by
what code and libraries it ran. manifest.sha256 seals it, as `sha256sum --check` reads it.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aebayes.config import Study, check
from aebayes.data import recipe_of
from aebayes.errors import AebayesError
from aebayes.files import (
    find_json,
    read_json,
    refuse_unreadable,
    sha256,
    write_bytes,
    write_text,
)
from aebayes.provenance import Began, code_of, provenance
from aebayes.records import PUBLISHED_KEY, Place, figure_files, record_of, table_files

MANIFEST, SEAL = "manifest.json", "manifest.sha256"
ELSEWHERE = "elsewhere"  # of an artefact that this copy of the study does without
# They say how jobs went, or are made from what is here; no number comes from them.
APART = ("logs", "benchmarks", "resume", "audit")
RUN_FILES = {
    "train": ("checkpoint.safetensors", "optimiser.safetensors", "history.csv", "training.json"),
    "evaluate": ("metrics.json", "arrays.npz", "evaluation.json"),
}
AGAIN = "delete that file, and run the pipeline again: it makes anew what is not there"


def data_files(dataset: str) -> tuple[str, str]:
    """The names of a prepared dataset and its card."""
    return f"data/processed/{dataset}.npz", f"data/processed/{dataset}.json"


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Raise an AebayesError that names the record whose content is not what a step writes."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise AebayesError(f"{path} is not what its step writes: {problem!r}", AGAIN) from problem


class Steps:
    """The steps of a study, told by the records that they left.

    Args:
        study: without the datasets that it does without.
        place: where its files lie.
        read: whether to read their records; else a step has only its rule and what it makes.
    """

    def __init__(self, study: Study, place: Place, read: bool = True):
        self.study, self.place, self.read = study, place, read

    def record(self, key: str) -> dict | None:
        """What a step wrote about itself."""
        return find_json(self.place.path(key)) if self.read else None

    def all(self) -> dict[str, dict]:
        """Every step by name, in the order of the data's way.

        A step without a record has only its rule and what it makes: `outputs` then holds no hash.
        """
        steps = {}
        for dataset in self.study.datasets:
            steps |= self.of_data(dataset)
        for experiment in self.study.experiments:
            steps[f"train {experiment}"] = self.training(experiment)
            steps[f"evaluate {experiment}"] = self.evaluation(experiment)
        for name in self.study.tables:
            _, made = table_files(name, ())
            steps[f"table {name}"] = self.drawn("table", name, made)
        for name in self.study.figures:
            _, made = figure_files(name, (), ())
            steps[f"figure {name}"] = self.drawn("figure", name, made)
        steps["version"] = {"rule": "version", "outputs": dict.fromkeys(self.versioned())}
        return steps

    def of_data(self, dataset: str) -> dict[str, dict]:
        """Fetching, for a dataset with raw files, and preparation."""
        steps = {}
        files = recipe_of(dataset).files
        if files:
            raw = dict.fromkeys(f"data/raw/{dataset}/{file.name}" for file in files)
            about = {"rule": "fetch", "parameters": {"dataset": dataset}, "inputs": {}}
            steps[f"fetch {dataset}"] = about | {"outputs": raw}
        made = [*data_files(dataset), record_of(dataset)]
        steps[f"prepare {dataset}"] = self.recorded("prepare", record_of(dataset), made)
        return steps

    def drawn(self, rule: str, name: str, made: list[str]) -> dict:
        """A table or figure."""
        key = f"provenance/{name}.json"
        return self.recorded(rule, key, [*made, key])

    def recorded(self, rule: str, key: str, made: list[str]) -> dict:
        """The step of a record in the form of `step_record`, if it is there."""
        record = self.record(key) or {"rule": rule}
        with as_written(self.place.path(key)):
            outputs, inputs = dict(record.get("outputs", {})), dict(record.get("inputs", {}))
            if not outputs.keys() <= set(made) or not all(
                isinstance(found, str) for found in (*outputs.values(), *inputs.values())
            ):
                raise ValueError("it names other files, or no hashes")
        return record | {"inputs": inputs, "outputs": dict.fromkeys(made) | outputs}

    def training(self, experiment: str) -> dict:
        """What training.json tells."""
        outputs = dict.fromkeys(f"runs/{experiment}/{kind}" for kind in RUN_FILES["train"])
        key = f"runs/{experiment}/training.json"
        record = self.record(key)
        if record is None:
            return {"rule": "train", "outputs": outputs}
        with as_written(self.place.path(key)):
            return self.trained(experiment, dict(record), outputs)

    @staticmethod
    def trained(experiment: str, record: dict, outputs: dict[str, str | None]) -> dict:
        """The step of a training.json, whose record is taken apart."""
        settings = record.pop("experiment")
        npz, _ = data_files(settings["dataset"])
        inputs = {npz: record.pop("dataset_sha256")}
        start = f"runs/{settings.get('start_from')}"
        for kind, key in (
            ("checkpoint.safetensors", "started_from_sha256"),
            ("optimiser.safetensors", "started_from_optimiser_sha256"),
        ):
            read = record.pop(key, None)
            if read:
                inputs[f"{start}/{kind}"] = read
        for kind in ("checkpoint", "optimiser", "history"):
            suffix = "csv" if kind == "history" else "safetensors"
            outputs[f"runs/{experiment}/{kind}.{suffix}"] = record.pop(f"{kind}_sha256", None)
        facts = {"rule": "train", "parameters": settings, "inputs": inputs, "outputs": outputs}
        return facts | {"precision": settings["training"]["precision"]} | record

    def evaluation(self, experiment: str) -> dict:
        """What evaluation.json and metrics.json tell."""
        folder = f"runs/{experiment}"
        outputs = dict.fromkeys(f"{folder}/{kind}" for kind in RUN_FILES["evaluate"])
        record = self.record(f"{folder}/evaluation.json")
        metrics = self.record(f"{folder}/metrics.json")
        if record is None or metrics is None:
            return {"rule": "evaluate", "outputs": outputs}
        record = dict(record)
        with as_written(self.place.path(f"{folder}/metrics.json")):
            npz, _ = data_files(metrics["dataset"])
            inputs = {
                f"{folder}/checkpoint.safetensors": metrics["checkpoint_sha256"],
                npz: metrics["dataset_sha256"],
            }
            facts = {"rule": "evaluate", "parameters": metrics["evaluation"], "inputs": inputs}
        with as_written(self.place.path(f"{folder}/evaluation.json")):
            outputs[f"{folder}/metrics.json"] = record.pop("metrics_sha256")
            outputs[f"{folder}/arrays.npz"] = record.pop("arrays_sha256")
        return facts | {"outputs": outputs, "precision": "float32"} | record

    def versioned(self) -> Iterator[str]:
        """What the step that puts the study under DVC writes, as far as it is there."""
        runs = {f"runs/{experiment}" for experiment in self.study.experiments}
        for path in sorted(self.place.study.rglob("*")):
            key = path.relative_to(self.place.study).as_posix()
            pointer = path.suffix == ".dvc" and key.rpartition("/")[0] in runs
            written = key == "dvc.yaml" or key.startswith("metrics/") or pointer
            if written and path.is_file() and key.split("/")[0] not in APART:
                yield key


def make_manifest(study: Study, folder: Path, partial: bool = False) -> None:
    """Write manifest.json and then manifest.sha256, of what lies in a study's folder.

    Args:
        study: without the datasets that it does without.
        folder: usually results/<study>.
        partial: of a study that is not finished, or of a copy without its checkpoints and data:
            what is not there is named with the hash by which others know it, if any does.

    Raises:
        AebayesError: a file is missing, or is not what its own record says was made.
    """
    began = Began.now()
    artefacts, steps = made_of(study, Place(folder), partial)
    content = {
        "study": study.name,
        "without": list(study.absent),
        "partial": partial,
        "artefacts": artefacts,
        **separated(steps),
        "made": provenance(("dvc",), began, code_sha256=code_of("version")),
    }
    seal(content, folder)


def made_of(study: Study, place: Place, partial: bool = False) -> tuple[dict, dict]:
    """A manifest's artefacts and steps, of what lies in a study's folder.

    Raises:
        AebayesError: as `make_manifest`.
    """
    steps = Steps(study, place).all()
    artefacts = {}
    for name, step in steps.items():
        for key, recorded in step["outputs"].items():
            entry = artefact(place, key, recorded, partial)
            if entry:
                artefacts[key] = entry | {"step": name}
    artefacts[PUBLISHED_KEY] = artefact(place, PUBLISHED_KEY, None, False) | {"step": None}
    made = {entry["step"] for entry in artefacts.values()}
    steps = {name: step for name, step in steps.items() if name in made}
    if partial:  # what others read, though nothing here says how it was made
        for step in steps.values():
            for key, read in step.get("inputs", {}).items():
                artefacts.setdefault(key, {"sha256": read, "kept": ELSEWHERE, "step": None})
    for name, problem in broken_links(steps, artefacts).items():
        raise AebayesError(
            f"{place.study}: {name}: {problem}",
            "name the datasets that the study was run without (--without), or delete what that "
            "step made and run the pipeline again",
        )
    return artefacts, steps


def artefact(place: Place, key: str, recorded: str | None, partial: bool) -> dict | None:
    """SHA-256 and size of a file; of one that is not there, what its record says.

    Raises:
        AebayesError: it is missing, or not what its record says.
    """
    path = place.path(key)
    if not path.is_file():
        if not partial:
            raise AebayesError(f"{path} is missing", "run the pipeline, which makes it")
        return {"sha256": recorded, "kept": ELSEWHERE} if recorded else None
    found = sha256(path)
    if recorded and found != recorded:
        raise AebayesError(f"{path} is not what was made: its record has another SHA-256", AGAIN)
    entry = {"sha256": found, "size": path.stat().st_size}
    # A copy has no data of its own: whoever has it may do without them.
    return entry | {"kept": ELSEWHERE} if partial and key.startswith("data/") else entry


def broken_links(steps: dict[str, dict], artefacts: dict[str, dict]) -> dict[str, str]:
    """By step: the first of what it read, or made, that is not the artefact of that name."""
    broken = {}
    for name, step in steps.items():
        for verb, files in (("read", step.get("inputs", {})), ("made", step["outputs"])):
            for key, recorded in files.items():
                known = artefacts.get(key, {}).get("sha256")
                if recorded and known != recorded:
                    is_known = f"that of {known[:12]}…" if known else "unknown to the manifest"
                    problem = f"it {verb} a {key} of SHA-256 {recorded[:12]}…, {is_known} is here"
                    broken.setdefault(name, problem)
    return broken


def separated(steps: dict[str, dict]) -> dict:
    """`steps`, and the `environments` that they share, each named by number."""
    environments, slim = [], {}
    for name, step in steps.items():
        step = dict(step)
        where = {
            key: step.pop(key)
            for key in ("code_version", "libraries", "python", "machine")
            if key in step
        }
        if where:
            if where not in environments:
                environments.append(where)
            step["environment"] = environments.index(where)
        slim[name] = step
    return {"steps": slim, "environments": environments}


def seal(content: dict, folder: Path) -> None:
    """Write the manifest, then its seal: a kill between the two leaves a seal that does not fit."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(folder / MANIFEST, text.encode())
    write_text(folder / SEAL, f"{hashlib.sha256(text.encode()).hexdigest()}  {MANIFEST}\n")


def read_manifest(folder: Path, remedy: str | None = None) -> dict:
    """The sealed manifest of a study's folder.

    Args:
        remedy: where there is none.

    Raises:
        AebayesError: it is missing, is not what its seal says, or names what cannot be followed.
    """
    path, seal_path = folder / MANIFEST, folder / SEAL
    remedy = remedy or (
        "finish the study, name another folder, or make one: python -m aebayes manifest "
        f"--folder {folder}"
    )
    for needed in (path, seal_path):
        if not needed.is_file():
            raise AebayesError(f"{needed} is missing", remedy)
    try:
        sealed = seal_path.read_bytes() == f"{sha256(path)}  {MANIFEST}\n".encode()
    except OSError as problem:
        refuse_unreadable(Path(problem.filename or path), problem)
    if not sealed:
        raise AebayesError(
            f"{path} is not what {seal_path} seals: one of the two has been changed",
            "restore both from a copy, or delete them and run the pipeline, which makes them anew",
            status=1,
        )
    content = read_json(path)
    again = "restore it from a copy, or run the pipeline, which makes it anew"
    try:
        check(content, "manifest", path)
    except AebayesError as problem:
        raise AebayesError(problem.problem, again, status=1) from problem
    for problem in leading_nowhere(content):
        raise AebayesError(f"{path}: {problem}", again, status=1)
    return content


def refuse_another_study(manifest: dict, study: Study, folder: Path) -> None:
    """Refuse the manifest in `folder` if it is not this study's.

    Raises:
        AebayesError: it is not.
    """
    if manifest.get("study") != study.name:
        raise AebayesError(
            f"{folder / MANIFEST} is of the study {manifest.get('study')}",
            f"name that one (--study {manifest.get('study')}), or another folder",
        )


def leading_nowhere(manifest: dict) -> Iterator[str]:
    """What a manifest refers to and does not have: steps, environments, what steps read."""
    steps, artefacts = manifest["steps"], manifest["artefacts"]
    for name, entry in artefacts.items():
        if entry["step"] is not None and entry["step"] not in steps:
            yield f"artefacts.{name}.step: it has no step {entry['step']}"
    for name, step in steps.items():
        if "environment" in step and step["environment"] >= len(manifest["environments"]):
            yield f"steps.{name}.environment: it has none of that number"
        for key in step.get("inputs", {}):
            if key not in artefacts:
                yield f"steps.{name}.inputs: it has no artefact {key}"
