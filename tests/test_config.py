import copy
import json
import math
import re
from pathlib import Path

import pytest
import tiny
import yaml

from aebayes.config import (
    ROOT,
    SCHEMAS,
    Validator,
    check,
    check_mergeable,
    load_config,
    load_study,
    mirrors_of,
    read_yaml,
)
from aebayes.data import DATASETS
from aebayes.errors import AebayesError
from aebayes.figures import inputs as figure_inputs
from aebayes.tables import inputs as table_inputs

DIGITS = "experiments.vae-digits"
VAE = "experiments.vae-four-points"
AVB = "experiments.avb-four-points"
AAE = "experiments.aae-four-points"
SGD = {
    "optimiser": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "schedule": "constant",
    "repeats": 1,
}
STUDIES = sorted(path.stem for path in (ROOT / "config" / "studies").glob("*.yaml"))


def parent_of(path: str) -> tuple[dict, dict, str]:
    """The tiny study, the mapping in it that holds the key at a dotted path, and the key."""
    content = entry = json.loads(json.dumps(tiny.study()))  # no two experiments share a mapping
    *parents, last = path.split(".")
    for key in parents:
        entry = entry[key]
    return content, entry, last


def changed(path: str, value: object) -> dict:
    """The tiny study with the value at a dotted path changed."""
    content, entry, key = parent_of(path)
    entry[key] = value
    return content


def without(path: str) -> dict:
    """The tiny study without the key at a dotted path."""
    content, entry, key = parent_of(path)
    del entry[key]
    return content


FILTERS = [{"channels": 4, "stride": 2}]
SCORED = {"evaluation": {"kind": "sampled", "importance_samples": 5}}


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_studies_are_valid_and_their_tables_and_figures_known(name):
    study = load_study(name)
    assert study.name == name
    for table in study.tables:
        assert set(table_inputs(table, study)) <= set(study.experiments)
    for figure in study.figures:
        experiments, datasets = figure_inputs(figure, study)
        assert set(experiments) <= set(study.experiments)
        assert set(datasets) <= set(study.datasets)


@pytest.mark.parametrize("name", ["config", "study", "published"])
def test_schema_is_valid_itself(name):
    Validator.check_schema(read_yaml(SCHEMAS / f"{name}.schema.yaml"))


def test_default_config_is_valid_and_names_the_pocket_study():
    path = ROOT / "config" / "config.yaml"
    assert load_config(yaml.safe_load(path.read_text()), path).name == "pocket"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("extra", 1, "extra"),
        (
            "experiments.vae-digits.method",
            "vea",
            "digits.method: takes one of vae, iwae, .*, not 'vea'",
        ),
        ("experiments.vae-digits.dataset", "nist", "experiments.vae-digits.dataset: 'nist'"),
        (
            "experiments.vae-digits.training.batch",
            "10",
            "training.batch: takes an integer, not '10'",
        ),
        (
            "experiments.vae-digits.training.epoch",
            3,
            "training.epoch: unknown key; .*steps, epochs,",
        ),
        ("experiments.vae-digits.training.phases", {}, "training.phases.bound: missing"),
        (
            "experiments.vae-digits.objective.kl",
            "exact",
            "objective.kl: takes one of analytic, monte",
        ),
        (
            "experiments.vae-digits.model.encoder.kind",
            "noise",
            "encoder.kind: the VAE takes gaussian",
        ),
        ("experiments.Vae_Digits", {}, "experiments.Vae_Digits: takes at most 100 lower-case"),
        ("tables.avb-table-1.experiments.VAE", "vea", "tables.avb-table-1.experiments.VAE: 'vea'"),
        ("name", "reference", "name"),
    ],
)
def test_wrong_key_or_value_is_named_with_its_path(tmp_path, path, value, expected):
    file = tiny.write(tmp_path / "own.yaml", changed(path, value))
    with pytest.raises(AebayesError, match=expected) as caught:
        load_study(str(file))
    assert "own.yaml" in caught.value.problem


def refused(folder: Path, content: dict) -> str:
    """What is said of a study, after the file's name."""
    file = tiny.write(folder / "own.yaml", content)
    with pytest.raises(AebayesError) as caught:
        load_study(str(file))
    name, said = caught.value.problem.split(": ", 1)
    assert name == str(file)
    return said


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{VAE}.model.latent", 8, "the exact evaluation takes 2 latent dimensions, not 8"),
        (f"{VAE}.training.replicas", 2.0, "takes an integer, not 2.0"),
        (f"{VAE}.training.replicas", True, "takes an integer, not True"),
        (f"{VAE}.training.log_every", 10**12, "takes at most 1000000, not 1000000000000"),
        (f"{VAE}.training.batch", 10**12, "takes at most 1000000, not 1000000000000"),
        (f"{VAE}.training.phases.bound.learning_rate", math.nan, "takes a finite number, not nan"),
        (f"{VAE}.training.phases.bound.epsilon", math.inf, "takes a finite number, not inf"),
        (f"{VAE}.training.phases.bound.epsilon", "1e-8", "takes a finite number, not '1e-8'"),
        (f"{AAE}.adversary.features", 8, "only avb takes it: this adversary sees z alone"),
        (f"{VAE}.model.likelihood_sd", 1.0, "only the gaussian likelihood takes it"),
        (f"{AVB}.model.encoder.noise", 0, "takes at least 1, not 0"),
        (f"{VAE}.model.encoder.noise", 3, "only an encoder that is fed noise takes it"),
        (f"{VAE}.training.phases.bound.momentum", 0.9, "only sgd takes it"),
        (f"{VAE}.training.phases.bound", SGD | {"betas": [0.5, 0.9]}, "only adam and soap take it"),
        (f"{VAE}.adversary", tiny.LAYERS, "VAE and IWAE have none"),
        (f"{VAE}.evaluation.kind", "exakt", "takes one of exact, sampled, classes, not 'exakt'"),
        (f"{VAE}.evaluation.grid", 10, "takes at least 50, not 10"),
        (f"{DIGITS}.evaluation.grid", 100, "unknown key; known here: kind, importance_samples"),
        (f"{AVB}.objective.kl", "analytic", "unknown key; known here: adversary_loss, warm_up"),
        (f"{AVB}.objective.warm_up", 0, "takes more than 0, not 0"),
        (f"{VAE}.objective.warm_up", 1.5, "takes at most 1, not 1.5"),
        (f"{AVB}.model.encoder.basis", 4, "only the basis_noise encoder takes it"),
        (f"{VAE}.evaluation.annealing", {}, "unknown key; known here: kind, grid, codes"),
        (f"{DIGITS}.evaluation.annealing", {"chain": 4}, "unknown key; known here: start"),
        ("tables.avb-table-1.experiments.optimum", "vae-digits", "the theory's row has this"),
        ("name", "a-study\n", r"takes at most 100 lower-case letters, .*, not 'a-study\\n'"),
        (f"{VAE}.training.phases", {"bound": [0] * 999}, r"takes a mapping, not \[0, 0, "),
        (f"{VAE}.training.batch", {"a" * 99: [0] * 999}, "takes an integer, not {'aaa"),
    ],
)
def test_setting_that_cannot_run_is_refused_and_says_what_is_taken(tmp_path, path, value, said):
    message = refused(tmp_path, changed(path, value))
    key, expected = message.split(": ", 1)
    assert path == key or key.startswith(f"{path}.")
    assert re.match(said, re.sub(r" \(.*\)", "", expected))
    assert len(expected) < 200


def test_adaptive_contrast_takes_an_encoder_whose_moments_are_known(tmp_path):
    content = changed(f"{AVB}.objective.adaptive_contrast", True)
    assert refused(tmp_path, content) == (
        f"{AVB}.model.encoder.kind: adaptive contrast takes basis_noise, whose moments are known, "
        "not 'noise'"
    )


def test_correlations_are_of_adaptive_contrast_alone(tmp_path):
    content = changed(f"{AVB}.objective", {"contrast_correlations": True})
    assert refused(tmp_path, content) == (
        f"{AVB}.objective.adaptive_contrast: missing; correlations are of adaptive contrast"
    )


@pytest.mark.parametrize(("basis", "noise", "taken"), [(1, 1, False), (1, 2, True), (2, 1, True)])
def test_correlations_take_noise_of_as_many_dimensions_as_codes(tmp_path, basis, noise, taken):
    correlated = {"adaptive_contrast": True, "contrast_correlations": True}
    content = changed(f"{AVB}.objective", correlated)
    encoder = {"kind": "basis_noise", "basis": basis, "noise": noise, "basis_hidden": []}
    avb = content["experiments"]["avb-four-points"]
    avb["model"]["encoder"] = encoder | tiny.LAYERS
    if taken:
        load_study(str(tiny.write(tmp_path / "tiny.yaml", content)))
    else:
        assert "leaves codes of 2 without a density" in refused(tmp_path, content)


def test_gaussian_likelihood_takes_a_logit_as_output_bias_under_a_sigmoid_alone(tmp_path):
    content = changed(f"{DIGITS}.model.likelihood", "gaussian")
    model = content["experiments"]["vae-digits"]["model"]
    assert refused(tmp_path, content) == f"{DIGITS}.model.likelihood_sd: missing; " + (
        "the gaussian likelihood needs it"
    )
    model |= {"likelihood_sd": 0.1, "output_bias": "data_mean"}
    said = "a mean that is not bent by a sigmoid takes zero, not 'data_mean'"
    assert refused(tmp_path, content) == f"{DIGITS}.model.output_bias: {said}"
    model["decoder"] = {**model["decoder"], "output": "sigmoid"}
    load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    model["decoder"]["output"] = "linear"
    model["output_bias"] = "zero"
    assert load_study(str(tiny.write(tmp_path / "own.yaml", content))).name == "tiny"


def test_a_dataset_that_does_not_exist_is_named_with_the_known_ones(tmp_path):
    said = refused(tmp_path, changed("datasets.nope", {"binarisation": "none"}))
    assert said == "datasets.nope: unknown dataset 'nope'"


def test_a_study_that_is_not_utf_8_is_to_be_written_so(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("name: own", encoding="utf-16")
    with pytest.raises(AebayesError) as caught:
        load_study(str(path))
    assert caught.value.remedy == "write it as UTF-8"


def test_training_takes_either_steps_or_epochs(tmp_path):
    both = refused(tmp_path, changed(f"{DIGITS}.training.epochs", 1))
    assert both == f"{DIGITS}.training: takes steps or epochs; both are given"
    neither = refused(tmp_path, without(f"{DIGITS}.training.steps"))
    assert neither == f"{DIGITS}.training: takes steps or epochs; neither is given"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{VAE}.method", "missing"),
        (f"{VAE}.evaluation.kind", "missing"),
        (f"{VAE}.evaluation.codes", "missing"),
        (f"{AVB}.adversary", "missing"),
        (f"{AVB}.adversary.features", "missing; avb's T(x, z) needs it"),
        (f"{AVB}.model.encoder.noise", "missing; an encoder that is fed noise needs it"),
        (f"{AVB}.training.phases.adversary", "missing"),
        (f"{AVB}.training.phases.bound.betas", "missing; adam and soap need it"),
    ],
)
def test_missing_key_is_named_with_its_path(tmp_path, path, said):
    assert refused(tmp_path, without(path)) == f"{path}: {said}"


def test_label_that_is_no_text_is_refused(tmp_path):
    content = tiny.study(tables={"avb-table-1": {"experiments": {1: "vae-digits"}}})
    assert refused(tmp_path, content).startswith("tables.avb-table-1.experiments.1: takes text")


def test_restricted_avb_is_avb_with_an_adversary_that_sees_z_alone(tmp_path):
    content = changed(f"{AVB}.method", "avb_restricted")
    said = f"{AVB}.adversary.features: only avb takes it: this adversary sees z alone"
    assert refused(tmp_path, content) == said
    experiment = content["experiments"]["avb-four-points"]
    features = experiment["adversary"].pop("features")
    study = load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    assert features and study.experiment("avb-four-points")["method"] == "avb_restricted"
    del experiment["training"]["phases"]["adversary"]
    assert refused(tmp_path, content) == f"{AVB}.training.phases.adversary: missing"


def test_key_given_twice_is_refused_with_its_line(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("name: own\ntemplates:\n  batch: 10\n  batch: 20\n")
    with pytest.raises(AebayesError, match=r"own\.yaml .*: line 4: the key 'batch' is given twice"):
        load_study(str(file))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 10_000])
def test_deep_nesting_is_refused(tmp_path, text):
    """Composed, it would overflow the stack and end the process."""
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(AebayesError, match="nested deeper than 100 levels"):
        load_study(str(file))


@pytest.mark.parametrize(
    "text", ["a: !!bool b", "a: !!int ''", "a: !!float ''", "a: !!timestamp b"]
)
def test_scalars_that_are_not_what_their_tag_says_are_refused(tmp_path, text):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(AebayesError, match=r"own\.yaml is not YAML"):
        load_study(str(file))


def test_merges_that_multiply_are_refused(tmp_path):
    lines = ["c0: &c0 {a: 1}"]
    lines += [f"c{n}: &c{n} {{<<: [{', '.join([f'*c{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    file = tmp_path / "own.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(AebayesError, match="`<<` merges more than 10000 keys"):
        load_study(str(file))


def test_merged_keys_may_be_overridden(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: {<<: *b}\n")
    content = read_yaml(file)
    assert content["c"] == {"x": 3, "y": 1}
    assert content["d"] == content["b"] == {"x": 2, "y": 1}


@pytest.mark.parametrize("name", STUDIES)
def test_copy_of_a_shipped_study_must_change_its_name(tmp_path, name):
    shipped = ROOT / "config" / "studies" / f"{name}.yaml"
    copy = tmp_path / "own.yaml"
    copy.write_text(shipped.read_text())
    with pytest.raises(AebayesError) as caught:
        load_study(str(copy))
    assert all(str(file) in caught.value.problem for file in (copy, shipped))
    copy.write_text(shipped.read_text().replace(f"name: {name}", f"name: my-{name}", 1))
    assert load_study(str(copy)).name == f"my-{name}"
    assert load_study(str(shipped)).name == name


@pytest.mark.parametrize("study", ["\0", "a\0.yaml"])
def test_study_that_no_file_can_be_named_is_refused(study):
    with pytest.raises(AebayesError, match="cannot read"):
        load_study(study)
    config = {"study": study, "mirrors": [], "device": "auto"}
    with pytest.raises(AebayesError, match=r"config\.yaml: study: takes a name or a path"):
        load_config(config, ROOT / "config" / "config.yaml")


def test_mirrors_are_those_of_the_configuration(tmp_path):
    path = tmp_path / "config.yaml"
    assert mirrors_of(path) == []
    shipped = (ROOT / "config" / "config.yaml").read_text()
    path.write_text(shipped.replace("mirrors: []", "mirrors: [/one, 'https://two.example.org']"))
    assert mirrors_of(path) == ["/one", "https://two.example.org"]
    path.write_text(shipped.replace("mirrors: []", "mirrors: 3"))
    with pytest.raises(AebayesError, match=r"config\.yaml: mirrors: "):
        mirrors_of(path)


def test_label_of_two_lines_is_refused(tmp_path):
    content = tiny.study()
    (experiment, *_) = content["experiments"]
    content["tables"]["image-likelihoods"] = {"experiments": {"a\nb": experiment}}
    assert "takes labels of one line" in refused(tmp_path, content)


@pytest.mark.parametrize("text", ["a: " + "9" * 5000, "a: " + "[" * 5000, "a: 2020-13-45", "\x01"])
def test_text_that_yaml_cannot_hold_ends_in_one_message(tmp_path, text):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(AebayesError, match=r"own\.yaml is not YAML"):
        load_study(str(tmp_path / "own.yaml"))


def test_unknown_study_names_the_known_ones():
    with pytest.raises(AebayesError) as caught:
        load_study("pokcet")
    assert "pokcet" in caught.value.problem
    assert all(name in caught.value.remedy for name in STUDIES)


def test_broken_yaml_is_named(tmp_path):
    (tmp_path / "own.yaml").write_text("name: [")
    with pytest.raises(AebayesError, match=r"own\.yaml is not YAML"):
        load_study(str(tmp_path / "own.yaml"))


def test_unknown_top_level_key_is_refused():
    config = {"study": "pocket", "mirrors": [], "device": "auto", "mirors": []}
    with pytest.raises(AebayesError, match="mirors"):
        check(config, "config", ROOT / "config" / "config.yaml")


IWAE = "experiments.iwae-digits"


def with_iwae(**changes: object) -> dict:
    """The tiny study with an IWAE whose dotted settings are changed; None takes one away."""
    content = json.loads(json.dumps(tiny.study()))
    content["experiments"]["iwae-digits"] = json.loads(json.dumps(tiny.entry("iwae", "digits")))
    for path, value in changes.items():
        *parents, last = path.split(".")
        entry = content["experiments"]["iwae-digits"]
        for key in parents:
            entry = entry[key]
        if value is None:
            del entry[last]
        else:
            entry[last] = value
    return content


TWO_LAYERS = {
    "model.latent": [4, 3],
    "model.encoder": {"kind": "two_layer", **tiny.LAYERS, "second": tiny.LAYERS},
    "model.prior": tiny.LAYERS,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        TWO_LAYERS,
        {"objective.draws": None},
        {"objective": {"samples": 5, "weighting": "average"}},
        {"objective.pretraining_samples": 5, "training.phases.pretraining": tiny.ADAM},
        {"start_from": "iwae-digits-before"},
    ],
)
def test_iwae_may_have_one_layer_or_two_and_either_weighting(tmp_path, changes):
    content = with_iwae(**changes)
    content["experiments"]["iwae-digits-before"] = with_iwae()["experiments"]["iwae-digits"]
    study = load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    assert study.experiment("iwae-digits")["method"] == "iwae"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective.weighting": "mean"}, "objective.weighting: takes one of importance, average"),
        ({"objective.gradient": None}, "objective.gradient: missing; importance weighting needs"),
        ({"objective.weighting": "average"}, "objective.draws: only importance weighting"),
        ({"objective.draws": 0}, "objective.draws: takes at least 1"),
        ({"objective.pretraining_samples": 5}, "training.phases.pretraining: missing"),
        (
            {"training.phases.pretraining": tiny.ADAM},
            "training.phases.pretraining: it takes objective.pretraining_samples",
        ),
        ({"adversary": tiny.LAYERS}, "adversary: VAE and IWAE have none"),
        (TWO_LAYERS | {"model.latent": 4}, "model.latent: the two_layer encoder takes two"),
        ({"model.latent": [4, 3]}, "model.latent: only the two_layer encoder takes two"),
        (TWO_LAYERS | {"model.latent": [4, 3, 2]}, "model.latent: takes an integer"),
        ({"model.prior": tiny.LAYERS}, "model.prior.activation: only the two_layer encoder takes"),
        (
            TWO_LAYERS | {"model.encoder": {"kind": "two_layer", **tiny.LAYERS}},
            "model.encoder.second: missing; the two_layer encoder needs it",
        ),
        ({"model.encoder.kind": "deterministic"}, "model.encoder.kind: the IWAE takes one of"),
        ({"training.compile": "yes"}, "training.compile: takes true or false"),
        ({"start_from": "vae"}, "start_from: 'vae' is not in this study"),
        ({"start_from": "vae-digits"}, "start_from: vae-digits differs in method"),
        ({"start_from": "iwae-digits"}, "start_from: iwae-digits starts from iwae-digits"),
    ],
)
def test_setting_that_an_iwae_cannot_take_is_named(tmp_path, changes, said):
    assert refused(tmp_path, with_iwae(**changes)).startswith(f"{IWAE}.{said}")


AUXILIARY = tiny.MODEL | {"encoder": tiny.EXPERIMENTS["vae_auxiliary"]["model"]["encoder"]}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("model.encoder.auxiliary", 0, "takes at least 1, not 0"),
        ("model.encoder.hidden", [], "the auxiliary encoder takes a layer"),
        ("model.encoder.convolutions", FILTERS, "this encoder is a perceptron, without them"),
        ("model.encoder.second", tiny.LAYERS, "only the two_layer encoder takes it"),
        ("evaluation.pruned_images", 9, "units are taken out of a q(z|x) whose mean is known"),
        ("objective.gradient", "doubly_reparameterised", "the auxiliary encoder takes standard"),
    ],
)
def test_setting_that_the_auxiliary_encoder_cannot_take_is_named(tmp_path, path, value, said):
    changes = {"model": AUXILIARY, "objective.gradient": "standard", **SCORED}
    content = with_iwae(**copy.deepcopy(changes))
    load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    entry = content["experiments"]["iwae-digits"]
    *parents, last = path.split(".")
    for key in parents:
        entry = entry[key]
    entry[last] = value
    assert refused(tmp_path, content).startswith(f"{IWAE}.{path}: {said}")


def test_auxiliary_encoder_needs_its_key_and_a_bound_by_monte_carlo(tmp_path):
    encoder = AUXILIARY["encoder"]
    said = refused(tmp_path, changed(f"{VAE}.model.encoder", encoder))
    assert said == (
        f"{VAE}.objective.kl: this q(z|x) is no Gaussian: it takes monte_carlo, not 'analytic'"
    )
    content = changed(f"{VAE}.model.encoder", {**tiny.LAYERS, "kind": "auxiliary"})
    content["experiments"]["vae-four-points"]["objective"]["kl"] = "monte_carlo"
    assert refused(tmp_path, content) == (
        f"{VAE}.model.encoder.auxiliary: missing; the auxiliary encoder needs it"
    )
    said = refused(tmp_path, changed(f"{AVB}.model.encoder", encoder))
    assert said.startswith(f"{AVB}.model.encoder.kind: only VAE and IWAE have a bound")
    said = refused(tmp_path, changed(f"{VAE}.model.encoder.auxiliary", 3))
    assert said == f"{VAE}.model.encoder.auxiliary: only the auxiliary encoder takes it"


def test_start_that_differs_in_nets_or_replicas_is_refused(tmp_path):
    content = with_iwae(start_from="before")
    before = content["experiments"]["before"] = with_iwae()["experiments"]["iwae-digits"]
    before["model"]["latent"] = 3
    before["training"]["replicas"] = 7
    said = refused(tmp_path, content)
    assert said == f"{IWAE}.start_from: before differs in model, replicas"


@pytest.mark.parametrize("name", DATASETS)
def test_only_images_with_intensities_can_be_binarised(name):
    content = tiny.study()
    content["datasets"] |= {name: {"binarisation": "dynamic"}}
    if DATASETS[name].scale > 1:
        check(content, "study", Path("mine.yaml"))
        return
    with pytest.raises(AebayesError) as caught:
        check(content, "study", Path("mine.yaml"))
    assert f"datasets.{name}.binarisation: takes none" in caught.value.problem


ROLL = {"kind": "swiss_roll", "classes": 10, "radius": 3.0, "turns": 2}
PRIORS = {
    "normal": {"kind": "normal", "sd": 5.0},
    "uniform": {"kind": "uniform", "half_width": 2.0},
    "petals": {"kind": "petals", "classes": 10, "radius": 3.0, "along": 1.0, "across": 0.2},
    "swiss_roll": ROLL,
    "categorical": {"kind": "categorical"},
}
AAE = "experiments.aae-digits"


def with_aae(prior: dict, **changes: object) -> dict:
    """The tiny study with an AAE on digits under that prior, without importance sampling."""
    content = tiny.study()
    content["experiments"]["aae-digits"] = tiny.entry("aae", "digits")
    aae = content["experiments"]["aae-digits"]
    aae["model"]["prior"] = prior
    aae["evaluation"] = {"kind": "sampled"} | changes
    return content


@pytest.mark.parametrize("kind", PRIORS)
def test_aae_may_have_any_prior(tmp_path, kind):
    weighed = {"importance_samples": 5} if kind in ("normal", "petals") else {}
    content = with_aae(PRIORS[kind], **weighed)
    study = load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    assert study.experiment("aae-digits")["model"]["prior"]["kind"] == kind


@pytest.mark.parametrize("kind", ["uniform", "swiss_roll", "categorical"])
def test_prior_without_a_density_everywhere_gives_no_importance_weights(tmp_path, kind):
    said = refused(tmp_path, with_aae(PRIORS[kind], importance_samples=5))
    assert said.startswith(f"{AAE}.evaluation.importance_samples: this prior has no density")


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({}, "importance_samples: missing; importance_images says"),
        ({"importance_samples": 5, "pruned_images": 5}, "pruned_images: it is taken off all"),
    ],
)
def test_some_images_likelihood_needs_samples_and_is_not_pruned(tmp_path, evaluation, said):
    content = with_aae(PRIORS["normal"], importance_images=7, **evaluation)
    assert refused(tmp_path, content).startswith(f"{AAE}.evaluation.{said}")


def test_petals_have_no_units_to_prune(tmp_path):
    content = with_aae(PRIORS["petals"], importance_samples=5, pruned_images=5)
    model = content["experiments"]["aae-digits"]["model"]
    model["encoder"] = tiny.LAYERS | {"kind": "gaussian"}
    said = refused(tmp_path, content)
    assert said.startswith(f"{AAE}.evaluation.pruned_images: petals have no axes")


def test_categorical_priors_match_is_not_measured(tmp_path):
    content = with_aae(PRIORS["categorical"], prior_match=True)
    said = refused(tmp_path, content)
    assert said.startswith(f"{AAE}.evaluation.prior_match: a categorical prior has no distances")


@pytest.mark.parametrize("kind", ["normal", "petals"])
def test_prior_with_a_density_wants_importance_samples(tmp_path, kind):
    said = refused(tmp_path, with_aae(PRIORS[kind]))
    assert said == f"{AAE}.evaluation.importance_samples: missing"


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({"kind": "petal"}, "model.prior.kind: takes one of normal, uniform, petals, swiss_roll"),
        ({"sd": 2.0}, "model.prior.kind: missing"),
        ({"kind": "normal"}, "model.prior.sd: missing"),
        ({"kind": "normal", "sd": 0}, "model.prior.sd: takes more than 0"),
        ({"kind": "normal", "sd": 1.0, "turns": 2}, "model.prior.turns: unknown key"),
        (ROLL | {"classes": 0}, "model.prior.classes: takes at least 1"),
    ],
)
def test_prior_that_is_not_one_is_named(tmp_path, prior, said):
    weighed = {} if prior.get("kind") == "swiss_roll" else {"importance_samples": 5}
    assert refused(tmp_path, with_aae(prior, **weighed)).startswith(f"{AAE}.{said}")


def test_petals_and_swiss_roll_lie_in_the_plane(tmp_path):
    content = with_aae(ROLL)
    content["experiments"]["aae-digits"]["model"]["latent"] = 3
    assert refused(tmp_path, content).startswith(f"{AAE}.model.latent: petals and the Swiss roll")


def test_bound_needs_a_prior_that_it_can_be_computed_with(tmp_path):
    content = changed(f"{DIGITS}.model.prior", PRIORS["normal"])
    assert refused(tmp_path, content).startswith(f"{DIGITS}.model.prior: the analytic KL is to")
    content = with_iwae(**{"model.prior": ROLL, "evaluation": {"kind": "sampled"}})
    assert refused(tmp_path, content).startswith(f"{IWAE}.method: VAE and IWAE need a prior")
    content = changed(f"{AVB}.model.prior", PRIORS["normal"])
    assert refused(tmp_path, content).startswith(f"{AVB}.model.prior: the exact evaluation takes")


@pytest.mark.parametrize("prior", [None, PRIORS["normal"]])
def test_labels_need_a_prior_with_a_part_for_each_class(tmp_path, prior):
    content = with_aae(prior, importance_samples=5)
    aae = content["experiments"]["aae-digits"]
    aae["objective"]["labelled"] = 100
    if prior is None:
        del aae["model"]["prior"]
    assert "objective.labelled takes a prior with classes" in refused(tmp_path, content)
    aae["model"]["prior"] = PRIORS["petals"]
    assert load_study(str(tiny.write(tmp_path / "own.yaml", content))).name == "tiny"


def test_study_does_without_datasets_it_has_and_names_one_it_has_not(tmp_path):
    content = with_aae(PRIORS["uniform"])
    content["datasets"]["digits"]["optional"] = True
    study = load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    assert study.optional == ["digits"]
    without = study.without(["digits"])
    assert set(study.experiments) - set(without.experiments) == {"vae-digits", "aae-digits"}
    assert without.datasets == ["four_points"]
    assert without.experiment("aae-digits") == study.experiment("aae-digits")
    with pytest.raises(AebayesError, match="no dataset 'svhn'"):
        study.without(["svhn"])


def test_discriminator_is_told_classes_where_the_decoder_is(tmp_path):
    content = with_aae(PRIORS["uniform"])
    aae = content["experiments"]["aae-digits"]
    aae["objective"]["discriminator_told"] = True
    said = refused(tmp_path, content)
    assert said == f"{AAE}.objective.discriminator_told: it takes model.decoder.classes"
    aae["model"]["decoder"] = aae["model"]["decoder"] | {"classes": 10}
    load_study(str(tiny.write(tmp_path / "own.yaml", content)))


MULTI_STEP = {"schedule": "multi_step", "milestones": [0.1, 0.5]}


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (MULTI_STEP, None),
        ({"schedule": "multi_step"}, "milestones: missing; the multi_step schedule needs it"),
        ({"milestones": [0.1]}, "milestones: only the multi_step schedule takes it"),
        (MULTI_STEP | {"milestones": [0.5, 1]}, "milestones.1: takes less than 1"),
    ],
)
def test_multi_step_takes_milestones_within_the_training(tmp_path, phase, said):
    content = with_aae(PRIORS["uniform"])
    content["experiments"]["aae-digits"]["training"]["phases"]["generator"] |= phase
    if said:
        assert said in refused(tmp_path, content)
    else:
        load_study(str(tiny.write(tmp_path / "own.yaml", content)))


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ([0, 0.5], None),
        ([0.5, 0.5], "span: it ends at 0.5, where it starts or before"),
        ([0.5, 2], "span.1: takes at most 1"),
        ([0.5], "span: takes two shares"),
    ],
)
def test_span_is_a_part_of_the_training(tmp_path, span, said):
    content = with_aae(PRIORS["uniform"])
    content["experiments"]["aae-digits"]["training"]["phases"]["generator"]["span"] = span
    if said:
        assert said in refused(tmp_path, content)
    else:
        load_study(str(tiny.write(tmp_path / "own.yaml", content)))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_gaussian_likelihoods_mean_may_be_bent(tmp_path, likelihood):
    content = with_aae(PRIORS["uniform"])
    model = content["experiments"]["aae-digits"]["model"]
    model["decoder"] = model["decoder"] | {"output": "sigmoid"}
    if likelihood == "bernoulli":
        assert "decoder.output: only the gaussian" in refused(tmp_path, content)
    else:
        model |= {"likelihood": "gaussian", "likelihood_sd": 0.3, "output_bias": "zero"}
        load_study(str(tiny.write(tmp_path / "own.yaml", content)))


def with_grey(method: str, **changes: object) -> dict:
    """The tiny study with that method on grey digits; `changes` by dotted key, None takes away."""
    content = tiny.study()
    entry = tiny.entry(method, "digits")
    if entry["evaluation"]["kind"] == "sampled":
        entry["evaluation"] = {"kind": "sampled", "parzen_samples": 50}
    content["experiments"]["grey"] = entry
    for key, value in changes.items():
        *path, last = key.split(".")
        place = entry
        for part in path:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return content


@pytest.mark.parametrize("method", ["gan", "gmmn"])
def test_models_without_weights_to_sample_by_are_taken_as_they_are(tmp_path, method):
    content = with_grey(method, binarisation="none")
    study = load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    assert study.experiment("grey")["binarisation"] == "none"
    assert study.experiment("vae-digits")["binarisation"] == "dynamic"


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("gan", {"model.encoder": tiny.NOISE}, "model.encoder: a GAN has none"),
        ("gan", {"adversary": None}, "adversary: missing"),
        (
            "gan",
            {"adversary": tiny.LAYERS | {"features": 8}},
            "adversary.features: only avb takes it: this adversary",
        ),
        ("gan", {"objective.generator_loss": "kl"}, "objective.generator_loss: takes one of"),
        ("gan", {"evaluation.prior_match": True}, "evaluation.prior_match: a GAN has no codes"),
        ("gan", {"evaluation.importance_samples": 5}, "evaluation.importance_samples: this model"),
        ("gmmn", {"model.encoder": None}, "model.encoder: missing; only a GAN has none"),
        ("gmmn", {"model.encoder.code": "linear"}, "model.encoder.code: the GMMN takes sigmoid"),
        ("gmmn", {"model.encoder.code": None}, "model.encoder.code: missing; the GMMN takes"),
        ("gmmn", {"model.prior": None}, "model.prior: missing; the GMMN needs a learned one"),
        ("gmmn", {"model.prior": PRIORS["normal"]}, "model.prior.kind: the GMMN takes learned"),
        ("gmmn", {"objective.widths": []}, "objective.widths: takes 1 or more entries"),
        ("gmmn", {"adversary": tiny.LAYERS}, "adversary: the maximum mean discrepancy takes"),
        (
            "gmmn",
            {"evaluation.importance_samples": 5},
            "evaluation.importance_samples: this prior has no density",
        ),
        ("ae_mmd", {}, "evaluation.importance_samples: missing"),
        (
            "ae_mmd",
            {"model.prior": {"kind": "learned", "noise": 3, **tiny.LAYERS}},
            "model.prior.kind: only the GMMN takes it",
        ),
        ("aae", {"model.encoder.code": "sigmoid"}, "model.encoder.code: only the deterministic"),
        ("vae", {"model.decoder.classes": 10}, "model.decoder.classes: only the AAE takes it"),
        (
            "aae_style",
            {"evaluation.importance_samples": 5},
            "evaluation.importance_samples: log p(x) is not known",
        ),
        ("aae_style", {"objective.labelled": 5}, "objective.labelled: a decoder that is told"),
        (
            "aae_style",
            {"evaluation.interpolations": 5},
            "evaluation.interpolations: a decoder that is told classes has no line",
        ),
        (
            "vae",
            {"evaluation": {"kind": "sampled", "importance_samples": 5, "recognise": True}},
            "evaluation.recognise: it takes objective.labelled or decoder.classes",
        ),
        (
            "avb",
            {"evaluation": {"kind": "sampled", "importance_samples": 5, "pruned_images": 5}},
            "evaluation.pruned_images: units are taken out of a q(z|x) whose mean is known",
        ),
        (
            "aae",
            {"evaluation": {"kind": "sampled", "importance_samples": 5, "recognise": True}},
            "evaluation.recognise: it takes objective.labelled or decoder.classes",
        ),
        ("aae", {"binarisation": "dynamic"}, "binarisation: takes none, or leave it out"),
        (
            "categorical_aae",
            {"model.prior": PRIORS["normal"]},
            "model.prior: its prior is fixed",
        ),
        (
            "categorical_aae",
            {"model.encoder.kind": "class_then_style"},
            "model.encoder.kind: categorical_aae takes class_and_style",
        ),
        (
            "categorical_aae",
            {"model.encoder.classes": None},
            "model.encoder.classes: missing; an encoder with q(y|x) needs it",
        ),
        (
            "categorical_aae",
            {
                "objective": {"generator_loss": "minimax", "balanced": False},
                "training.phases.classification": None,
                "training.track": "test",
            },
            "objective.balanced: it takes objective.labelled",
        ),
        (
            "categorical_aae",
            {"objective.labelled": None},
            "training.phases.classification: it takes objective.labelled",
        ),
        ("categorical_aae", {"objective.labelled": 0}, "objective.labelled: takes 1 or more"),
        ("categorical_aae", {"objective.labelled": "most"}, "objective.labelled: takes 1 or more"),
        ("categorical_aae", {"training.phases.classification": None}, "training.phases.classifica"),
        ("categorical_aae", {"adversary": None}, "adversary: missing"),
        (
            "categorical_aae",
            {"evaluation": {"kind": "sampled"}},
            "evaluation.kind: this method takes classes",
        ),
        ("aae", {"evaluation": {"kind": "classes"}}, "evaluation.kind: this method has no q(y|x)"),
        ("aae", {"training.track": "test"}, "training.track: this method has no q(y|x)"),
        ("aae", {"model.encoder.classes": 10}, "model.encoder.classes: only an encoder with q(y"),
        (
            "aae",
            {"model.decoder": tiny.LAYERS | {"heads_apart": 3}},
            "model.decoder.heads_apart: only categorical_aae takes it",
        ),
        (
            "categorical_aae",
            {"training.phases.heads": tiny.ADAM},
            "training.phases.heads: it takes model.decoder.heads_apart",
        ),
        ("categorical_aae", {"model.encoder.hidden": []}, "model.encoder.hidden: batch norm takes"),
        (
            "vae",
            {"model.encoder.convolutions": FILTERS} | SCORED,
            "model.encoder.kernel: missing; convo",
        ),
        (
            "vae",
            {"model.decoder.convolutions": FILTERS} | SCORED,
            "model.decoder.kernel: missing; convo",
        ),
        ("vae", {"model.decoder.kernel": 3}, "model.decoder.kernel: it takes convolutions"),
        (
            "vae",
            {"model.encoder.convolutions": FILTERS, "model.encoder.kernel": 4},
            "model.encoder.kernel: takes an odd integer from 1 to 31",
        ),
        (
            "vae",
            {"model.encoder.convolutions": FILTERS, "model.encoder.kernel": 3.0},
            "model.encoder.kernel: takes an odd integer from 1 to 31",
        ),
        (
            "vae",
            {"model.decoder.convolutions": FILTERS, "model.decoder.kernel": 1} | SCORED,
            "model.decoder.kernel: filters of 1 pixels a side leave some out",
        ),
        (
            "vae",
            {
                "model.decoder.convolutions": [{"channels": 4, "stride": 3}],
                "model.decoder.kernel": 3,
            }
            | SCORED,
            "model.decoder.convolutions: their strides, 3 in all, do not divide the 8 x 8 pixels",
        ),
        (
            "classifier",
            {"objective": {"labelled": "all", "balanced": False}},
            "objective.balanced: all images are labelled",
        ),
        (
            "m2",
            {"model.encoder.convolutions": FILTERS, "model.encoder.kernel": 3},
            "model.encoder.convolutions: this encoder is a perceptron",
        ),
        ("m2", {"objective.alpha": None}, "objective.alpha: missing"),
        ("m2", {"objective.distortion": {"shift": 1}}, "objective.distortion: unknown"),
        ("vae", {"objective.distortion": {"shift": 1}}, "objective.distortion: unknown"),
        ("classifier", {"objective.distortion": {}}, "objective.distortion: "),
        ("classifier", {"objective.distortion": {"slant": 1}}, "objective.distortion.slant: unkn"),
        ("aae", {"objective.distortion": {"zoom": 1}}, "objective.distortion.zoom: "),
        ("aae", {"objective.distortion": {"rotation": 0}}, "objective.distortion.rotation: "),
        ("aae", {"objective.distortion": {"elastic": -1}}, "objective.distortion.elastic: "),
        (
            "categorical_aae",
            {"binarisation": "none", "objective.distortion": {"shift": 8}},
            "objective.distortion.shift: 8 pixels move images of digits, 8 pixels a side, out of",
        ),
        (
            "categorical_aae",
            {"binarisation": "none", "objective.distortion": {"elastic": 9}},
            "objective.distortion.elastic: 9 pixels move images of digits, 8 pixels a side, out of",
        ),
        ("classifier", {"objective.two_views": True}, "objective.two_views: unknown"),
        (
            "categorical_aae",
            {"objective.distortion": None, "objective.two_views": True},
            "objective.two_views: it takes objective.distortion",
        ),
        ("m2", {"objective.class_balance": 0.1}, "objective.class_balance: unknown"),
        ("categorical_aae", {"objective.class_balance": 0}, "objective.class_balance: "),
        ("m2", {"adversary": tiny.LAYERS}, "adversary: M2 has none"),
        ("m2", {"model.encoder.hidden": []}, "model.encoder.hidden: class_then_style takes a lay"),
        ("classifier", {"model.decoder": tiny.LAYERS}, "model.decoder: a classifier has no code"),
        ("classifier", {"model.latent": 2}, "model.latent: a classifier has no code"),
        (
            "classifier",
            {"model.encoder": {"kind": "gaussian", **tiny.LAYERS}},
            "model.encoder.kind: it takes classifier",
        ),
        (
            "gan",
            {"evaluation": {"kind": "sampled", "parzen_many_samples": 50}},
            "evaluation.parzen_samples: missing; parzen_many_samples comes after it",
        ),
    ],
)
def test_setting_that_a_model_of_grey_images_cannot_take_is_named(tmp_path, method, changes, said):
    assert refused(tmp_path, with_grey(method, **changes)).startswith(f"experiments.grey.{said}")


def test_numbers_cannot_be_distorted(tmp_path):
    content = with_grey("classifier", dataset="two_modes")
    content["experiments"]["grey"]["objective"]["distortion"] = {"zoom": 0.1}
    content["datasets"]["two_modes"] = {"binarisation": "none"}
    said = refused(tmp_path, content)
    assert said == "experiments.grey.objective.distortion: two_modes holds numbers, and no pictures"


@pytest.mark.parametrize("method", ["categorical_aae", "m2", "classifier"])
def test_classes_are_told_of_grey_images(tmp_path, method):
    assert load_study(str(tiny.write(tmp_path / "a.yaml", with_grey(method, binarisation="none"))))
    said = refused(tmp_path, with_grey(method))
    assert (
        said == f"experiments.grey: {method} tells classes of grey images, and digits is binarised"
    )


@pytest.mark.parametrize("key", ["training.batch", "objective.labelled"])
def test_batch_norm_over_one_image_is_refused(tmp_path, key):
    content = with_grey("categorical_aae", binarisation="none", **{key: 1})
    assert refused(tmp_path, content).startswith(f"experiments.grey.{key}: batch norm over one")


@pytest.mark.parametrize("method", ["avb", "avb_together"])
def test_batch_norm_of_an_adversary_that_sees_codes_beside_prior_samples_is_refused(
    tmp_path, method
):
    content = tiny.study()
    adversary = tiny.LAYERS | {"kind": "projected", "batch_norm": True}
    experiment = tiny.experiment(method)
    del experiment["name"]
    content["experiments"]["own"] = experiment | {"adversary": adversary}
    said = "experiments.own.adversary.batch_norm: projected takes none"
    assert refused(tmp_path, content).startswith(said)
    del adversary["batch_norm"]
    load_study(str(tiny.write(tmp_path / "own.yaml", content)))


def test_clusters_cannot_be_tracked_on_the_images_that_name_them(tmp_path):
    changes = {"objective.labelled": None, "training.phases.classification": None}
    content = with_grey("categorical_aae", binarisation="none", **changes)
    content["experiments"]["grey"]["training"]["track"] = "validation"
    assert refused(tmp_path, content).startswith("experiments.grey.training.track: takes test")


@pytest.mark.parametrize("change", [{"labelled": 10}, {"balanced": False}, {"seed": 2}])
def test_a_run_with_labels_goes_on_with_the_same_ones_alone(tmp_path, change):
    content = with_grey("m2", binarisation="none")
    further = copy.deepcopy(content["experiments"]["grey"]) | {"start_from": "grey"}
    content["experiments"]["further"] = further
    load_study(str(tiny.write(tmp_path / "own.yaml", content)))
    further["training" if "seed" in change else "objective"] |= change
    said = refused(tmp_path, content)
    assert said == "experiments.further.start_from: grey differs in labelled images"


def test_snakemake_in_another_folder_is_told_where_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AebayesError, match=re.escape(f"run snakemake in {ROOT}")):
        check_mergeable(Path("config/config.yaml"))
