"""The committed reference results are those of the studies as they are."""

import pytest

from aebayes.audit.audit import SOUND, Audit
from aebayes.config import ROOT, load_study

REFERENCES = ("ablation", "overnight", "pocket")


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_results_are_of_the_study_as_it_is(name):
    audit = Audit.of(load_study(name), ROOT / "results" / "reference" / name)
    unsound = {key: of.why for key, of in audit.findings.items() if of.status not in SOUND}
    assert not unsound
    assert not audit.broken


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_results_have_the_cards_of_their_data(name):
    folder = ROOT / "results" / "reference" / name
    study = load_study(name)
    cards = {path.stem for path in (folder / "data" / "processed").glob("*.json")}
    # Else a changed number of epochs could not be seen.
    assert set(study.datasets) - set(study.optional) <= cards
