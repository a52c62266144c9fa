"""The audit of a study: is every artefact what was made, and of what was it made?

Its root of trust is the manifest. Every file is hashed; every step must have read the very bytes
that stand in the manifest, and must have had the settings that the study has; tables and figures
are made again from the runs and compared, datasets and metrics only if asked to. From each table's
cells and from each figure the chain is then followed back to raw data, to the first broken link.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aebayes.audit.manifest import (
    APART,
    ELSEWHERE,
    MANIFEST,
    SEAL,
    Steps,
    broken_links,
    data_files,
    read_manifest,
    refuse_another_study,
)
from aebayes.config import Study
from aebayes.files import read_json, sha256
from aebayes.records import Place, shown_settings
from aebayes.settings import first_difference, with_steps, without_evaluation

IDENTICAL, EQUIVALENT = "identical", "equivalent"
CHANGED, MISSING, UNTRACKED = "changed", "missing", "untracked"
# In the order in which they are told.
STATUSES = (CHANGED, MISSING, UNTRACKED, EQUIVALENT, IDENTICAL, ELSEWHERE)
SOUND = (IDENTICAL, EQUIVALENT, ELSEWHERE)


@dataclass(frozen=True)
class Finding:
    """What is found of an artefact.

    Args:
        status: one of STATUSES.
        why: in words, where there is something to say.
    """

    status: str
    why: str = ""


@dataclass
class Audit:
    """A study's audit.

    Args:
        study: without the datasets that the manifest does without.
        place: where its files lie.
        manifest: as `read_manifest` gives it.
        findings: by artefact.
        broken: by step, why its link to what it read, or to the study, does not hold.
    """

    study: Study
    place: Place
    manifest: dict
    findings: dict[str, Finding] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, folder: Path) -> "Audit":
        """Of a study's folder, hashed and its links checked; nothing is made again yet.

        Raises:
            AebayesError: it has no manifest, or a broken one, or another study's.
        """
        manifest = read_manifest(folder)
        refuse_another_study(manifest, study, folder)
        audit = cls(study.without(manifest["without"]), Place(folder), manifest)
        audit.findings = {
            key: audit.hashed(key, entry) for key, entry in manifest["artefacts"].items()
        }
        for key in audit.unknown():
            audit.findings[key] = Finding(UNTRACKED, "the manifest does not know it")
        if not manifest["partial"]:
            for key in audit.wanted():
                audit.findings.setdefault(
                    key, Finding(MISSING, "the study makes it, and the manifest does not know it")
                )
        audit.broken = broken_links(manifest["steps"], manifest["artefacts"])
        for name, step in manifest["steps"].items():
            problem = audit.unrecorded(name, step)
            if problem:
                audit.broken.setdefault(name, problem)
        return audit

    def hashed(self, key: str, entry: dict) -> Finding:
        """An artefact's bytes against the manifest's."""
        path = self.place.path(key)
        try:
            found = sha256(path)
        except FileNotFoundError:
            if entry.get("kept") == ELSEWHERE:
                return Finding(ELSEWHERE, "its hash alone is here")
            return Finding(MISSING, f"{path} is not there")
        except OSError as problem:
            return Finding(MISSING, f"{path} cannot be read: {problem.strerror or problem}")
        if found != entry["sha256"]:
            if entry.get("kept") == ELSEWHERE and not path.is_relative_to(self.place.study):
                return Finding(ELSEWHERE, f"its hash alone is here; {path} is another's")
            return Finding(CHANGED, f"{path} has other bytes than the manifest says")
        return Finding(IDENTICAL)

    def unknown(self) -> Iterator[str]:
        """Files of the study's folder that are no artefacts.

        A copy has the cards of its data with it; in a study's own folder data would stand in for
        those that it was made from.
        """
        artefacts = self.manifest["artefacts"]
        copied = any(entry.get("kept") == ELSEWHERE for entry in artefacts.values())
        known = {key for key in artefacts if copied or not key.startswith("data/")}
        for path in sorted(self.place.study.rglob("*")):
            key = path.relative_to(self.place.study).as_posix()
            apart = key.split("/")[0] in APART or key in (MANIFEST, SEAL)
            if (path.is_file() or path.is_symlink()) and not apart and key not in known:
                # Of a name that is no UTF-8, what a report can say.
                yield key.encode(errors="backslashreplace").decode()

    def wanted(self) -> Iterator[str]:
        """What the study as it is now would make."""
        for step in Steps(self.study, self.place, read=False).all().values():
            yield from step["outputs"]

    def unrecorded(self, name: str, step: dict) -> str | None:
        """Why no record of a step is one of the study's; None if it is, or none is kept."""
        if step["rule"] == "version":
            return None
        if "parameters" not in step:
            return "no record says from what and how it was made"
        difference = self.changed_settings(name, step)
        return f"its settings are not the study's: {difference}" if difference else None

    def changed_settings(self, name: str, step: dict) -> str | None:
        """Where a step's settings and the study's differ; None if they are the same."""
        rule, of = step["rule"], name.partition(" ")[2]
        if rule in ("fetch", "prepare"):
            return None
        known = {"train": self.study.content["experiments"], "table": self.study.tables}
        known |= {"evaluate": known["train"], "figure": self.study.figures}
        if of not in known[rule]:
            return "the study has it no more"
        found = step["parameters"]
        if rule in ("table", "figure"):
            return first_difference(found, shown_settings(of, rule, self.study))
        experiment = self.study.experiment(of)
        if rule == "evaluate":
            return first_difference(found, experiment["evaluation"], "evaluation.")
        found = without_evaluation(found)
        return first_difference(found, without_evaluation(self.in_steps(experiment, found)))

    def in_steps(self, experiment: dict, found: dict) -> dict:
        """The experiment with its epochs in steps; the run's own where its data are not here."""
        _, card = data_files(experiment["dataset"])
        if self.has([card]):
            return with_steps(experiment, read_json(self.place.path(card))["counts"]["train"])
        training = dict(experiment["training"])
        if training.pop("epochs", None):
            training["steps"] = found["training"]["steps"]
        return {**experiment, "training": training}

    def unsound_of(self, step: str) -> list[str]:
        """What is not as the manifest has it of what a step made."""
        artefacts = self.manifest["artefacts"]
        return [
            key
            for key, finding in self.findings.items()
            if finding.status not in SOUND and artefacts.get(key, {}).get("step") == step
        ]

    def note(self, key: str, finding: Finding) -> None:
        """Take a finding of an artefact whose bytes were the manifest's."""
        if self.findings.get(key, Finding(MISSING)).status == IDENTICAL:
            self.findings[key] = finding

    def has(self, keys: list[str]) -> bool:
        """Whether all these artefacts are here and sound, to make others from."""
        return all(self.findings.get(key, Finding(MISSING)).status == IDENTICAL for key in keys)

    def chain(self, keys: list[str]) -> Iterator[tuple[str, str | None]]:
        """Artefacts and the steps that made them, back to raw data, the nearest first.

        Each once; a step comes after what it made, and before what it read.
        """
        seen, waiting = set(), list(keys)
        for key in waiting:  # which grows
            if key in seen:
                continue
            seen.add(key)
            name = self.manifest["artefacts"].get(key, {}).get("step")
            yield key, name
            waiting.extend(self.manifest["steps"].get(name, {}).get("inputs", ()))

    def broken_at(self, key: str, step: str | None) -> str | None:
        """Why an artefact, or the link to what its step read, does not hold; None if both do."""
        finding = self.findings.get(key, Finding(MISSING, "the manifest does not know it"))
        if finding.status not in SOUND:
            return f"{key}: {finding.status}: {finding.why}"
        return f"{step}: {self.broken[step]}" if step in self.broken else None

    def first_broken(self, keys: list[str]) -> str | None:
        """The first link that does not hold of the chain from these artefacts; None if all do."""
        links = (self.broken_at(key, step) for key, step in self.chain(keys))
        return next((link for link in links if link), None)

    @property
    def counts(self) -> dict[str, int]:
        """How many artefacts there are of each status, of those that occur."""
        counted = Counter(finding.status for finding in self.findings.values())
        return {status: counted[status] for status in STATUSES if counted[status]}

    @property
    def clean(self) -> bool:
        """Whether every artefact is sound and every link holds."""
        return not self.broken and all(each.status in SOUND for each in self.findings.values())
