"""What a step read and made, by hash: the record that it leaves for the manifest.

Training and evaluation leave theirs in training.json and evaluation.json, beside what they made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aebayes.config import PUBLISHED, ROOT, Study
from aebayes.files import sha256, write_json
from aebayes.provenance import Began, code_of, provenance

PUBLISHED_KEY = PUBLISHED.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Place:
    """Where a study's files lie, and those that it has in common with other studies.

    A file is known by its path under the study's folder, or, where that begins with `data/` or
    `config/`, under the project's: so a study that was moved has the same names. Reference results
    have the cards of their data with them.

    Args:
        study: the study's folder, usually results/<study>.
        root: the project's.
    """

    study: Path
    root: Path = Path()

    def path(self, key: str) -> Path:
        """Where the file of this name lies."""
        if key == PUBLISHED_KEY:
            return PUBLISHED
        own = self.study / key
        if key.startswith(("data/", "config/")) and not own.is_file():
            return self.root / key
        return own

    def hashes(self, keys: Iterable[str]) -> dict[str, str]:
        """SHA-256 of each of these files, by name."""
        return {key: sha256(self.path(key)) for key in keys}


def record_of(dataset: str) -> str:
    """The name of the record of a dataset's preparation."""
    return f"data/processed/{dataset}.provenance.json"


def step_record(
    rule: str,
    parameters: Mapping[str, object],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    libraries: Sequence[str],
    began: Began,
    own: str = "",
) -> dict:
    """The record of a step.

    Args:
        rule: prepare, table or figure.
        parameters: its settings.
        inputs: SHA-256 of what it read, by name.
        outputs: of what it made.
        libraries: distributions whose versions matter.
        began: when the step did.
        own: the dataset's module.
    """
    facts = {
        "rule": rule,
        "parameters": dict(parameters),
        "inputs": dict(inputs),
        "outputs": dict(outputs),
        "code_sha256": code_of(rule, own),
    }
    return provenance(libraries, began, **facts)


def shown_settings(name: str, kind: str, study: Study) -> dict:
    """What of a study its table or figure of this name depends on.

    Args:
        kind: table or figure.
    """
    entries = study.tables if kind == "table" else study.figures
    return {"name": name, "settings": entries[name], "without": list(study.absent)}


def table_files(name: str, experiments: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a table reads, of experiments whose dataset can be had, and what it writes."""
    kinds = ("metrics.json", "training.json")
    read = [f"runs/{each}/{kind}" for each in experiments for kind in kinds]
    return [*read, PUBLISHED_KEY], [f"tables/{name}.{form}" for form in ("csv", "md", "tex")]


def figure_files(
    name: str, experiments: Iterable[str], datasets: Iterable[str]
) -> tuple[list[str], list[str]]:
    """What a figure reads, of experiments and datasets that can be had, and what it writes."""
    kinds = ("metrics.json", "arrays.npz", "history.csv")
    read = [f"runs/{each}/{kind}" for each in experiments for kind in kinds]
    read += [f"data/processed/{each}.{kind}" for each in datasets for kind in ("npz", "json")]
    return read, [f"figures/{name}.{form}" for form in ("png", "pdf")]


def write_record(
    kind: str,
    name: str,
    study: Study,
    place: Place,
    files: tuple[list[str], list[str]],
    libraries: Sequence[str],
    began: Began,
) -> None:
    """Leave the record of a table or figure in provenance/<name>.json.

    Inputs that are missing are left out: a table's cells say so themselves.
    """
    read, made = files
    inputs = place.hashes(key for key in read if place.path(key).is_file())
    content = step_record(
        kind, shown_settings(name, kind, study), inputs, place.hashes(made), libraries, began
    )
    write_json(place.path(f"provenance/{name}.json"), content)
