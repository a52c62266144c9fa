"""Studies: one YAML file each, checked key by key before anything runs."""

import math
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import yaml

from aebayes.data import recipe_of
from aebayes.errors import AebayesError

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "config" / "schema"
DEEPEST_NESTING = 100
MOST_MERGED_KEYS = 10_000
MERGE = "tag:yaml.org,2002:merge"
STUDIES = ROOT / "config" / "studies"
AGAIN = "bring it back: git restore {}"
PUBLISHED = ROOT / "config" / "published.yaml"
README = "config/README.md documents every key and what it takes"

MODEL_PARTS = ("encoder", "decoder")
REPR = reprlib.Repr()
REPR.maxstring = 80
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text (quote what YAML reads as something else)",
    "integer": "an integer",
    "boolean": "true or false",
    "number": "a finite number (1e-3 is text to YAML, 1.0e-3 is not)",
}
EXPECTED = {
    "type": "takes {}",
    "enum": "takes one of {}",
    "const": "takes {}",
    "minimum": "takes at least {}",
    "exclusiveMinimum": "takes more than {}",
    "maximum": "takes at most {}",
    "exclusiveMaximum": "takes less than {}",
    "minItems": "takes {} or more entries",
    "maxItems": "takes {} entries at most",
    "minProperties": "takes {} or more keys",
    "pattern": "takes a match of {}",
}


@dataclass(frozen=True)
class Study:
    """A named set of experiments, tables and figures.

    Args:
        path: the file it was read from.
        name: names the folder results/<name>.
        content: the file's content, valid by study.schema.yaml.
        absent: datasets that it does without here, and without the experiments on them; tables and
            figures say so.
    """

    path: Path
    name: str
    content: dict
    absent: tuple[str, ...] = ()

    def without(self, absent: Iterable[str]) -> "Study":
        """The study where these datasets cannot be had.

        Raises:
            AebayesError: one is not of the study.
        """
        absent = tuple(absent)
        for name in absent:
            if name not in self.content["datasets"]:
                raise AebayesError(
                    f"{self.path} has no dataset {name!r} to do without",
                    f"choose one of: {', '.join(self.content['datasets'])}",
                )
        return replace(self, absent=absent)

    def present(self, experiments: Iterable[str]) -> list[str]:
        """Those of the experiments whose dataset can be had, each once."""
        named = dict.fromkeys(experiments)
        return [name for name in named if self.experiment(name)["dataset"] not in self.absent]

    def experiment(self, name: str) -> dict:
        """One experiment with its name and, unless it has its own, its dataset's binarisation.

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
            "binarisation": self.content["datasets"][experiment["dataset"]]["binarisation"],
            **experiment,
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
        """The names of the experiments whose dataset can be had."""
        return self.present(self.content["experiments"])

    @property
    def datasets(self) -> list[str]:
        """The names of the datasets that can be had."""
        return [name for name in self.content["datasets"] if name not in self.absent]

    @property
    def optional(self) -> list[str]:
        """The datasets that the study may do without."""
        return [name for name, of in self.content["datasets"].items() if of.get("optional")]


def load_study(study: str) -> Study:
    """Read and check a study.

    Args:
        study: a name under config/studies/, or the path of a YAML file.

    Raises:
        AebayesError: no such study, not YAML, a key that is unknown, missing or of a wrong
            type, or the name of a shipped study in another file; names the file and the key.
    """
    path = Path(study) if study.endswith((".yaml", ".yml")) else STUDIES / f"{study}.yaml"
    known = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
    content = read_yaml(path, f"name a study ({known}) or the path of a YAML file")
    check(content, "study", path)
    check_references(content, path)
    check_name(content["name"], path)
    return Study(path, content["name"], content)


def check_mergeable(path: Path) -> None:
    """Check that the top-level configuration is what Snakemake can merge with --config.

    Raises:
        AebayesError: it is not; Snakemake's own errors name neither the file nor a line.
    """
    if not path.exists() and (ROOT / path).exists():
        raise AebayesError(
            f"there is no {path} in {Path.cwd()}",
            f"run snakemake in {ROOT}, or with --directory {ROOT}",
        )
    if not isinstance(read_yaml(path), dict):
        raise AebayesError(f"{path} holds no keys", AGAIN.format(path))


def load_config(config: dict, path: Path) -> Study:
    """Check the top-level configuration, as Snakemake merged it, and read the study it names.

    Raises:
        AebayesError: as `load_study`.
    """
    check(config, "config", path)
    return load_study(config["study"])


def mirrors_of(path: Path) -> list[str]:
    """The mirrors of the top-level configuration; none where that file is not.

    Raises:
        AebayesError: it is broken.
    """
    if not path.is_file():
        return []
    content = read_yaml(path)
    check(content, "config", path)
    return content["mirrors"]


class UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """PyYAML's safe loader; where that lets the last of two equal keys win, this one refuses."""

    def get_single_node(self) -> yaml.Node | None:
        """Compose the document as it is written, before `<<` merges other keys into a mapping."""
        root = super().get_single_node()
        keys_within(root, {})
        return root


def keys_within(node: yaml.Node | None, counts: dict[int, int]) -> int:
    """How many keys a mapping, or all mappings of a list, have with those that `<<` merges in.

    Args:
        counts: of the nodes seen so far, by their id.

    Raises:
        yaml.YAMLError: a key stands twice in a mapping, or more keys are merged into one than any
            study has: where each level merges the last one ten times, they multiply.
    """
    if id(node) in counts or not isinstance(node, yaml.CollectionNode):
        return counts.get(id(node), 0)
    counts[id(node)] = 0  # for what a mapping merges that it is part of
    if isinstance(node, yaml.SequenceNode):
        count = sum(keys_within(entry, counts) for entry in node.value)
    else:
        refuse_repeated_keys(node)
        count = 0
        for key, value in node.value:
            inside = keys_within(value, counts)
            if key.tag == MERGE and inside > MOST_MERGED_KEYS:
                raise yaml.YAMLError(f"`<<` merges more than {MOST_MERGED_KEYS} keys")
            count += inside if key.tag == MERGE else 1
    counts[id(node)] = count
    return count


def refuse_repeated_keys(node: yaml.MappingNode) -> None:
    """Raise a `yaml.composer.ComposerError` if a key stands twice in a mapping."""
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                problem = f"the key {shown(key.value)} is given twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value))


def refuse_deep_nesting(text: str) -> None:
    """Raise a `yaml.YAMLError` for nesting so deep that composing it would overflow the stack."""
    depth = 0
    for event in yaml.parse(text, UniqueKeyLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST_NESTING:
            raise yaml.YAMLError(f"it is nested deeper than {DEEPEST_NESTING} levels")


def read_yaml(path: Path, remedy: str | None = None) -> object:
    """Read a YAML file, without constructing anything but plain values.

    Args:
        remedy: where it cannot be read at all.

    Raises:
        AebayesError: it cannot be read, is not YAML, or gives a key twice; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:  # ValueError: not UTF-8, or a path with a null byte
        utf_8 = "write it as UTF-8" if isinstance(problem, UnicodeError) else None
        raise AebayesError(
            f"cannot read {path}: {getattr(problem, 'strerror', None) or problem}",
            utf_8 or remedy or AGAIN.format(path),
        ) from problem
    try:
        refuse_deep_nesting(text)
        return yaml.load(text, UniqueKeyLoader)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1
        raise AebayesError(
            f"{path} is not YAML: line {line}: {problem.problem}", "mend that line"
        ) from problem
    # The last two: PyYAML reads a tagged scalar, `!!int ''`, without looking whether it is one.
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as problem:
        raise AebayesError(f"{path} is not YAML: {problem}", "mend what it names") from problem


def is_integer(_: object, value: object) -> bool:
    """Whether a value is an integer: neither 2.0 nor true, which Python counts as some."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(checker: object, value: object) -> bool:
    """Whether a value is an integer or a finite float."""
    return is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": is_integer, "number": is_number}
    ),
)


def check(content: object, schema: str, path: Path) -> None:
    """Check `content` against config/schema/<schema>.schema.yaml.

    Raises:
        AebayesError: names the file, the key's path, and what was expected there.
    """
    rules = read_yaml(SCHEMAS / f"{schema}.schema.yaml")
    problem = min(Validator(rules).iter_errors(content), key=precedence, default=None)
    if problem is not None:
        keys, expected = described(problem)
        key = ".".join(str(part) for part in keys) or "(top level)"
        raise AebayesError(f"{path}: {key}: {expected}", README)


def precedence(error: jsonschema.ValidationError) -> tuple:
    """Of several errors, the one to report is the smallest by this.

    Conditions (`then`, `else`) come last, as they may only follow from another error; of the rest,
    unknown keys come first, as a misspelt key is missing under its right name, too.
    """
    conditional = not {"then", "else"}.isdisjoint(error.absolute_schema_path)
    rank = {"additionalProperties": 0, "required": 2}.get(error.validator, 1)
    return conditional, rank, [str(part) for part in error.absolute_path]


def described(error: jsonschema.ValidationError) -> tuple[list, str]:
    """The path of the key that an error is about, and what was expected there."""
    keys, value, limit = list(error.absolute_path), error.instance, error.validator_value
    message = error.schema.get("message")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = next(key for key in value if key not in known)
        return [*keys, unknown], f"unknown key; known here: {', '.join(known) or 'none'}"
    if error.validator == "required":
        missing = next(key for key in limit if key not in value)
        return [*keys, missing], f"missing; {message}" if message else "missing"
    if "propertyNames" in error.absolute_schema_path:
        keys.append(value)
    if error.validator in ("not", "anyOf"):
        return keys, message
    if error.validator == "type" and not message:
        limit = TYPES[limit]
    elif error.validator == "enum":
        limit = ", ".join(str(choice) for choice in limit)
    expected = message or EXPECTED[error.validator].format(limit)
    return keys, f"{expected}, not {shown(value)}"


def shown(value: object) -> str:
    """A value as messages show it: in at most 80 characters, whatever it holds."""
    text = REPR.repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def check_name(name: str, path: Path) -> None:
    """Check that no other file is the shipped study of this name: their results would mix.

    Raises:
        AebayesError: names both files.
    """
    shipped = STUDIES / f"{name}.yaml"
    if shipped.exists() and not shipped.samefile(path):
        raise AebayesError(
            f"{path}: name: {name!r} is the study {shipped}, and both would write results/{name}",
            "give a copy of a shipped study a name of its own",
        )


def check_references(content: dict, path: Path) -> None:
    """Check what a schema cannot: names, and what one setting asks of another.

    Raises:
        AebayesError: names the file, the key and the known names.
    """
    for name in content["datasets"]:
        try:
            recipe_of(name)
        except AebayesError as problem:
            raise AebayesError(
                f"{path}: datasets.{name}: {problem.problem}", problem.remedy
            ) from problem
    for name, experiment in content["experiments"].items():
        check_known(path, f"experiments.{name}.dataset", experiment["dataset"], content["datasets"])
        if "start_from" in experiment:
            check_start(path, name, content["experiments"])
        if experiment["objective"].get("contrast_correlations"):
            check_noise(path, name, experiment["model"])
        if "classes" in experiment["model"].get("encoder", {}):
            check_class_encoder(path, name, experiment, content["datasets"])
        parts = {f"model.{part}": experiment["model"].get(part, {}) for part in MODEL_PARTS}
        for part, layers in (parts | {"adversary": experiment.get("adversary", {})}).items():
            if "convolutions" in layers:
                check_convolutions(f"{path}: experiments.{name}.{part}", layers, experiment)
        if "distortion" in experiment["objective"]:
            check_distortion(f"{path}: experiments.{name}.objective.distortion", experiment)
        for phase, settings in experiment["training"]["phases"].items():
            check_span(path, f"experiments.{name}.training.phases.{phase}.span", settings)
    for kind in ("tables", "figures"):
        for name, entry in content[kind].items():
            for label, experiment in entry.get("experiments", {}).items():
                key = f"{kind}.{name}.experiments.{label}"
                check_known(path, key, experiment, content["experiments"])
            for dataset in entry.get("datasets", []):
                check_known(path, f"{kind}.{name}.datasets", dataset, content["datasets"])


def check_noise(path: Path, name: str, model: dict) -> None:
    """Check that q(z|x) can have a density, and its covariance an inverse.

    Raises:
        AebayesError: it has less noise than codes have dimensions.
    """
    noise = model["encoder"]["basis"] * model["encoder"]["noise"]
    if noise < model["latent"]:
        raise AebayesError(
            f"{path}: experiments.{name}.model.encoder: basis × noise, {noise} dimensions in all, "
            f"leaves codes of {model['latent']} without a density",
            "take more of either, or do without contrast_correlations",
        )


def check_class_encoder(path: Path, name: str, experiment: dict, datasets: dict) -> None:
    """Check what an encoder with q(y|x) asks of the images and of the minibatches.

    Raises:
        AebayesError: images are binarised, or batch norm sees one image at a time.
    """
    binarisation = datasets[experiment["dataset"]]["binarisation"]
    if experiment.get("binarisation", binarisation) != "none":
        raise AebayesError(
            f"{path}: experiments.{name}: {experiment['method']} tells classes of grey images, and "
            f"{experiment['dataset']} is binarised",
            f"give {name} binarisation: none",
        )
    smallest = {
        "training.batch": experiment["training"]["batch"],
        "objective.labelled": experiment["objective"].get("labelled"),
    }
    for key, images in smallest.items():
        if experiment["model"]["encoder"].get("batch_norm") and images == 1:
            raise AebayesError(
                f"{path}: experiments.{name}.{key}: batch norm over one image leaves nothing of it",
                "take 2 or more, or do without batch_norm",
            )


def check_convolutions(key: str, settings: dict, experiment: dict) -> None:
    """Check that strides divide the images' sides, and leave no pixel out.

    Args:
        key: the file and the network's key.
        settings: of the network.

    Raises:
        AebayesError: names the file and the key.
    """
    from aebayes.data import DATASETS  # with numpy, which other studies need not wait for

    dataset = experiment["dataset"]
    strides = [layer["stride"] for layer in settings["convolutions"]]
    if max(strides) > settings["kernel"]:
        raise AebayesError(
            f"{key}.kernel: filters of {settings['kernel']} pixels a side leave some out that are "
            f"{max(strides)} apart",
            "let no stride be larger than the kernel",
        )
    _, *sides = DATASETS[dataset].shape if dataset in DATASETS else (1, 0, 0)
    if any(side % math.prod(strides) for side in sides):
        raise AebayesError(
            f"{key}.convolutions: their strides, {math.prod(strides)} in all, do not divide the "
            f"{' x '.join(map(str, sides))} pixels of {dataset}",
            "choose strides whose product does",
        )


def check_distortion(key: str, experiment: dict) -> None:
    """Check that images are pictures, and stay in sight.

    Args:
        key: the file and the distortion's key.

    Raises:
        AebayesError: names the file and the key.
    """
    from aebayes.data import DATASETS  # with numpy, which other studies need not wait for

    dataset = experiment["dataset"]
    if dataset not in DATASETS:
        return
    side = min(DATASETS[dataset].shape[1:])
    if side == 1:
        raise AebayesError(
            f"{key}: {dataset} holds numbers, and no pictures", "leave the distortion out"
        )
    for way in ("shift", "elastic"):
        pixels = experiment["objective"]["distortion"].get(way, 0)
        if pixels >= side:
            raise AebayesError(
                f"{key}.{way}: {pixels:g} pixels move images of {dataset}, {side} pixels a side, "
                "out of sight",
                "take less",
            )


def check_span(path: Path, key: str, phase: dict) -> None:
    """Check that a phase's span, if it has one, has a length.

    Raises:
        AebayesError: names the file and the key.
    """
    start, end = phase.get("span", (0, 1))
    if start >= end:
        raise AebayesError(
            f"{path}: {key}: it ends at {end:g}, where it starts or before ({start:g})",
            "put the smaller share first",
        )


def check_start(path: Path, name: str, experiments: dict) -> None:
    """Check that an experiment can begin where the one that it starts from ended.

    Raises:
        AebayesError: names the file, the key and what differs.
    """
    key = f"experiments.{name}.start_from"
    experiment, source = experiments[name], experiments[name]["start_from"]
    check_known(path, key, source, experiments)
    before = [name]
    while "start_from" in experiments.get(before[-1], {}):
        before.append(experiments[before[-1]]["start_from"])
        if before[-1] in before[:-1]:
            raise AebayesError(
                f"{path}: {key}: {' starts from '.join(before)}", "let one of them start anew"
            )

    def carried(experiment: dict) -> dict:
        training = experiment["training"]
        optimisers = {name: p["optimiser"] for name, p in training["phases"].items()}
        same = {key: experiment[key] for key in ("method", "dataset", "model")}
        adversary = experiment.get("adversary")
        replicas = training["replicas"]
        carried = same | {"adversary": adversary, "replicas": replicas, "optimisers": optimisers}
        if "labelled" in experiment["objective"]:  # else more labels are seen than are told
            objective = experiment["objective"]
            drawn = objective["labelled"], objective.get("balanced", True), training["seed"]
            carried["labelled images"] = drawn
        return carried

    here, there = carried(experiment), carried(experiments[source])
    different = [key for key in here if here[key] != there[key]]
    if different:
        raise AebayesError(
            f"{path}: {key}: {source} differs in {', '.join(different)}",
            "an experiment takes these from the one it starts from: make them equal",
        )


def check_known(path: Path, key: str, value: str, known: dict) -> None:
    """Raise an AebayesError that names the key and what is known if `value` is not."""
    if value not in known:
        raise AebayesError(
            f"{path}: {key}: {shown(value)} is not in this study", f"use one of: {', '.join(known)}"
        )
