import pytest
import tiny
import yaml

from aebayes.config import ROOT, check, load_config, load_study
from aebayes.errors import AebayesError
from aebayes.figures import inputs as figure_inputs
from aebayes.tables import inputs as table_inputs

STUDIES = sorted(path.stem for path in (ROOT / "config" / "studies").glob("*.yaml"))


def changed(path: str, value: object) -> dict:
    """The tiny study with the value at a dotted path changed."""
    content = tiny.study()
    *parents, last = path.split(".")
    entry = content
    for key in parents:
        entry = entry[key]
    entry[last] = value
    return content


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


def test_default_config_is_valid_and_names_the_pocket_study():
    path = ROOT / "config" / "config.yaml"
    assert load_config(yaml.safe_load(path.read_text()), path).name == "pocket"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("extra", 1, "extra"),
        ("experiments.vae-digits.method", "vea", "experiments.vae-digits.method: 'vea'"),
        ("experiments.vae-digits.dataset", "nist", "experiments.vae-digits.dataset: 'nist'"),
        ("experiments.vae-digits.training.batch", "10", "training.batch: '10' is not of type"),
        ("experiments.vae-digits.training.epoch", 3, "training: .*'epoch' was unexpected"),
        ("experiments.vae-digits.training.phases", {}, "training.phases: 'bound' is a required"),
        ("experiments.vae-digits.objective.kl", "exact", "objective.kl: 'exact' is not one of"),
        ("experiments.vae-digits.model.encoder.kind", "noise", "experiments.vae-digits.model"),
        ("experiments.Vae_Digits", {}, "Vae_Digits"),
        ("tables.avb-table-1.experiments.VAE", "vea", "tables.avb-table-1.experiments.VAE: 'vea'"),
        ("name", "reference", "name"),
    ],
)
def test_wrong_key_or_value_is_named_with_its_path(tmp_path, path, value, expected):
    file = tiny.write(tmp_path / "own.yaml", changed(path, value))
    with pytest.raises(AebayesError, match=expected) as caught:
        load_study(str(file))
    assert "own.yaml" in caught.value.problem


def test_steps_and_epochs_exclude_each_other(tmp_path):
    file = tiny.write(tmp_path / "own.yaml", changed("experiments.vae-digits.training.epochs", 1))
    with pytest.raises(AebayesError, match="vae-digits"):
        load_study(str(file))


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
