"""Studies: one YAML file each, checked key by key before anything runs."""

from dataclasses import dataclass
from pathlib import Path

import jsonschema
import yaml

from aebayes.errors import AebayesError

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "config" / "schema"
STUDIES = ROOT / "config" / "studies"
PUBLISHED = ROOT / "config" / "published.yaml"


@dataclass(frozen=True)
class Study:
    """A named set of experiments, tables and figures.

    Args:
        path: the file it was read from.
        name: names the folder results/<name>.
        content: the file's content, valid by study.schema.yaml.
    """

    path: Path
    name: str
    content: dict

    def experiment(self, name: str) -> dict:
        """One experiment with its name and its dataset's binarisation filled in.

        Raises:
            AebayesError: the study has no such experiment.
        """
        experiments = self.content["experiments"]
        if name not in experiments:
            raise AebayesError(
                f"{self.path} has no experiment {name!r}",
                f"choose one of: {', '.join(experiments)}",
            )
        experiment = experiments[name]
        return {
            "name": name,
            **experiment,
            "binarisation": self.content["datasets"][experiment["dataset"]]["binarisation"],
        }

    @property
    def tables(self) -> dict[str, dict]:
        """What each table shows."""
        return self.content["tables"]

    @property
    def figures(self) -> dict[str, dict]:
        """What each figure shows."""
        return self.content["figures"]

    @property
    def experiments(self) -> list[str]:
        """The experiments' names."""
        return list(self.content["experiments"])

    @property
    def datasets(self) -> list[str]:
        """The datasets' names."""
        return list(self.content["datasets"])


def load_study(study: str) -> Study:
    """Read and check a study.

    Args:
        study: a name under config/studies/, or the path of a YAML file.

    Raises:
        AebayesError: no such study, not YAML, or a key that is unknown, missing or of a wrong
            type; names the file and the key.
    """
    path = Path(study) if study.endswith((".yaml", ".yml")) else STUDIES / f"{study}.yaml"
    content = read_yaml(path)
    check(content, "study", path)
    check_references(content, path)
    return Study(path, content["name"], content)


def load_config(config: dict, path: Path) -> Study:
    """Check the top-level configuration, as Snakemake merged it, and read the study it names.

    Raises:
        AebayesError: as `load_study`.
    """
    check(config, "config", path)
    return load_study(config["study"])


def read_yaml(path: Path) -> object:
    """Read a YAML file, without constructing anything but plain values.

    Raises:
        AebayesError: it is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as problem:
        known = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
        raise AebayesError(
            f"cannot read {path}: {problem.strerror}",
            f"name a study ({known}) or the path of a YAML file",
        ) from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise AebayesError(f"{path} is not YAML: {problem}", "mend the line it names") from problem


def check(content: object, schema: str, path: Path) -> None:
    """Check `content` against config/schema/<schema>.schema.yaml.

    Raises:
        AebayesError: names the file, the key's path, and what was expected there.
    """
    rules = yaml.safe_load((SCHEMAS / f"{schema}.schema.yaml").read_text())
    problem = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(rules).iter_errors(content),
        key=lambda error: (error.validator != "additionalProperties", -len(error.absolute_path)),
    )
    if problem is not None:
        key = ".".join(str(part) for part in problem.absolute_path) or "(top level)"
        raise AebayesError(
            f"{path}: {key}: {problem.message}",
            "config/README.md documents every key and what it takes",
        )


def check_references(content: dict, path: Path) -> None:
    """Check that experiments name the study's datasets, and tables and figures its experiments.

    Raises:
        AebayesError: names the file, the key and the known names.
    """
    for name, experiment in content["experiments"].items():
        check_known(path, f"experiments.{name}.dataset", experiment["dataset"], content["datasets"])
    for kind in ("tables", "figures"):
        for name, entry in content[kind].items():
            for label, experiment in entry.get("experiments", {}).items():
                key = f"{kind}.{name}.experiments.{label}"
                check_known(path, key, experiment, content["experiments"])
            for dataset in entry.get("datasets", []):
                check_known(path, f"{kind}.{name}.datasets", dataset, content["datasets"])


def check_known(path: Path, key: str, value: str, known: dict) -> None:
    """Raise an AebayesError that names the key and what is known if `value` is not."""
    if value not in known:
        raise AebayesError(
            f"{path}: {key}: {value!r} is not in this study", f"use one of: {', '.join(known)}"
        )
