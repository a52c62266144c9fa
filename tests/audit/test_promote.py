"""What reference results may take the place of."""

import os
import shutil
from pathlib import Path

import pytest

from aebayes.audit.manifest import MANIFEST, SEAL
from aebayes.audit.reference import promote, refuse_to_replace, replace_folder
from aebayes.config import load_study
from aebayes.errors import AebayesError

POCKET = Path(__file__).parents[2] / "results/reference/pocket"


def copied(folder: Path) -> Path:
    """A folder with the manifest of the pocket study's reference results."""
    folder.mkdir()
    for name in (MANIFEST, SEAL):
        shutil.copyfile(POCKET / name, folder / name)
    return folder


@pytest.mark.parametrize("place", [".", "runs", "..", "../pocket/../pocket"])
def test_reference_results_lie_apart_from_their_study(place, tmp_path):
    study = copied(tmp_path / "pocket")
    with pytest.raises(AebayesError, match="overlaps with the study itself"):
        refuse_to_replace(study / place, load_study("pocket"), study)


def test_what_is_no_reference_results_is_not_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with pytest.raises(AebayesError, match=r"precious/manifest\.json is missing") as caught:
        promote(load_study("pocket"), tmp_path / "pocket", precious)
    assert f"move {precious} away" in caught.value.remedy
    assert (precious / "thesis.txt").read_text() == "years"


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "notes").write_text("of years")
    with pytest.raises(AebayesError, match=r"notes/manifest\.json is missing"):
        refuse_to_replace(tmp_path / "notes", load_study("pocket"), tmp_path / "pocket")


def test_reference_results_of_another_study_are_not_replaced(tmp_path):
    theirs = copied(tmp_path / "reference")
    with pytest.raises(AebayesError, match="is of the study pocket"):
        refuse_to_replace(theirs, load_study("overnight"), tmp_path / "overnight")


def test_a_run_of_the_same_study_is_not_replaced(tmp_path):
    theirs = copied(tmp_path / "moved")
    (theirs / "runs/vae-digits").mkdir(parents=True)
    (theirs / "runs/vae-digits/checkpoint.safetensors").write_bytes(b"weights")
    with pytest.raises(AebayesError, match=r"checkpoint\.safetensors is no part of reference"):
        refuse_to_replace(theirs, load_study("pocket"), tmp_path / "pocket")


def test_what_somebody_put_among_reference_results_is_not_lost(tmp_path):
    theirs = copied(tmp_path / "reference")
    (theirs / "notes.txt").write_text("why these")
    with pytest.raises(AebayesError, match=r"notes\.txt is no part of reference results"):
        refuse_to_replace(theirs, load_study("pocket"), tmp_path / "pocket")


@pytest.mark.parametrize("study", ["pocket", "overnight", "ablation"])
def test_the_committed_reference_results_are_replaced(study, tmp_path):
    refuse_to_replace(POCKET.parent / study, load_study(study), tmp_path / study)


def test_reference_results_with_their_audit_an_empty_folder_and_nothing_are_replaced(tmp_path):
    old = copied(tmp_path / "reference")
    (old / "audit").mkdir()
    (old / "audit/index.html").write_text("clean")
    (tmp_path / "empty").mkdir()
    for place in (old, tmp_path / "empty", tmp_path / "new"):
        refuse_to_replace(place, load_study("pocket"), tmp_path / "pocket")


@pytest.mark.parametrize("mine", [True, False])
def test_what_a_killed_promotion_moved_aside_goes_back(tmp_path, mine):
    reference = tmp_path / "pocket"
    left = tmp_path / f".pocket.{os.getpid() if mine else 999999999}.partial"
    others = [tmp_path / f".pocket.{name}.partial/old" for name in ("v2.999999999", "mine", 1)]
    for other in others:
        other.mkdir(parents=True)
    (left / "new").mkdir(parents=True)
    (left / "new/half").write_text("half")
    copied(left / "old")
    with pytest.raises(AebayesError, match="is missing"):
        promote(load_study("pocket"), tmp_path / "study", reference)
    assert (reference / MANIFEST).read_bytes() == (POCKET / MANIFEST).read_bytes()
    assert not left.exists() and all(other.exists() for other in others)


def test_promotion_that_is_stopped_between_two_moves_puts_back(tmp_path, monkeypatch):
    new, reference, aside = tmp_path / "new", copied(tmp_path / "reference"), tmp_path / "old"
    new.mkdir()
    moved = []

    def replace(source, target):
        if moved == [reference]:
            moved.append(source)
            raise KeyboardInterrupt
        moved.append(source)
        Path(source).rename(target)

    monkeypatch.setattr("aebayes.audit.reference.os.replace", replace)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(new, reference, aside)
    assert (reference / MANIFEST).exists() and not aside.exists()
