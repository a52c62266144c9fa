"""Which differences from the reference results are more than chance."""

import json

import pytest
from click.testing import CliRunner
from tiny import study, write

from aebayes.audit.compare import difference, differences, missing, values
from aebayes.cli import main
from aebayes.config import load_study
from aebayes.errors import AebayesError
from aebayes.files import write_json


def entry(mean, sd=None, errors=None, replicas=3):
    spread = {} if errors is None else {"standard_error": errors}
    return {"mean": mean, "sd": sd, "replicas": [mean] * replicas} | spread


@pytest.mark.parametrize(
    ("new", "old", "exceeds"),
    [
        (entry(1.0, 0.3), entry(2.0, 0.4), False),  # their difference has a deviation of 0.5
        (entry(1.0, 0.3), entry(2.01, 0.4), True),
        (entry(1.0, None, [0.3], 1), entry(1.9, None, [0.4], 1), False),
        (entry(1.0, None, [0.3], 1), entry(2.1, None, [0.4], 1), True),
        (entry(1.0), entry(1.0), False),
        (entry(1.0), entry(1.1), True),  # of whose spread nothing is known
        (entry(1.0), None, True),
        (None, entry(1.0), True),
        (entry(None), entry(None), False),
    ],
)
def test_difference_exceeds_two_deviations_of_itself(new, old, exceeds):
    assert difference("vae", "elbo", new, old).exceeds == exceeds


def test_runs_are_compared_metric_by_metric_and_missing_ones_named(tmp_path):
    chosen = load_study(str(write(tmp_path / "tiny.yaml", study())))
    for folder, mean in (("new", 1.0), ("old", 3.0)):
        content = {"metrics": {"nll": entry(mean, 0.1), "elbo": entry(-5.0, 0.1)}}
        write_json(tmp_path / folder / "runs/vae-digits/metrics.json", content)
    write_json(tmp_path / "old/runs/avb-four-points/metrics.json", {"metrics": {}})
    found = list(differences(chosen, tmp_path / "new", tmp_path / "old"))
    assert [each.metric for each in found if each.exceeds] == ["nll"]
    assert str(found[0]) == "vae-digits: nll: 1, the reference 3: -2, spread 0.141"
    assert missing(chosen, tmp_path / "new", tmp_path / "old") == ["avb-four-points"]


@pytest.mark.parametrize("entry", [{"mean": "x"}, {"mean": 1.0, "replicas": None}, 3])
def test_metrics_that_are_none_are_named(entry, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"metrics": {"nll": entry}}))
    with pytest.raises(AebayesError, match=r"metrics\.json is not what its step writes"):
        values(path)


def test_folder_of_another_study_is_not_compared(tmp_path):
    chosen = load_study(str(write(tmp_path / "tiny.yaml", study())))
    write_json(tmp_path / "old/manifest.json", {"study": "pocket"})
    with pytest.raises(AebayesError, match="is of the study pocket") as caught:
        list(differences(chosen, tmp_path / "new", tmp_path / "old"))
    assert "--study pocket" in caught.value.remedy


def test_nothing_to_compare_is_an_error(tmp_path):
    path = write(tmp_path / "tiny.yaml", study())
    words = ["compare", "--study", str(path), "--folder", str(tmp_path), "--reference", "nowhere"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f"no experiment has metrics in both {tmp_path} and nowhere" in done.output
