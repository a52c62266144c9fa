"""A manifest that is sealed but is none: refused before a name in it is followed to a file."""

import json

import pytest

from aebayes.audit.manifest import read_manifest, seal
from aebayes.errors import AebayesError

SHA256 = "0" * 64
ENTRY = {"sha256": SHA256, "size": 1, "step": "table a"}


def manifest(**changes: object) -> dict:
    """A small sound one, changed."""
    steps = {"table a": {"rule": "table", "outputs": {"tables/a.csv": None}, "environment": 0}}
    return {
        "study": "pocket",
        "without": [],
        "partial": False,
        "artefacts": {"tables/a.csv": ENTRY},
        "steps": steps,
        "environments": [{}],
        "made": {},
    } | changes


def test_sound_manifest_comes_back(tmp_path):
    seal(manifest(), tmp_path)
    assert read_manifest(tmp_path) == manifest()


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "a\x00b", "..", "a\\b", "a/..", "a\nb"]
)
@pytest.mark.parametrize("where", ["artefacts", "inputs", "outputs"])
def test_names_that_lead_out_of_the_folder_are_refused(name, where, tmp_path):
    step = {"rule": "table", "outputs": {}, "inputs": {}, "environment": 0}
    if where == "artefacts":
        content = manifest(artefacts={name: ENTRY})
    else:
        content = manifest(steps={"table a": step | {where: {name: SHA256}}})
    seal(content, tmp_path)
    with pytest.raises(AebayesError, match=r"manifest\.json: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"study": "pocket"},
        manifest(artefacts=[]),
        manifest(artefacts={"a": 3}),
        manifest(artefacts={"a": {"step": None}}),
        manifest(artefacts={"a": ENTRY | {"sha256": 3}}),
        manifest(artefacts={"a": ENTRY | {"step": "table of nobody"}}),
        manifest(steps=[]),
        manifest(steps={"table a": 3}),
        manifest(steps={"table a": {"rule": [], "outputs": {}}}),
        manifest(steps={"table a": {"rule": "table", "outputs": {}, "inputs": 3}}),
        manifest(steps={"table a": {"rule": "table", "outputs": {}, "parameters": None}}),
        manifest(steps={"table a": {"rule": "table", "outputs": {}, "environment": 99}}),
        manifest(steps={"table a": {"rule": "table", "outputs": {}, "inputs": {"b": SHA256}}}),
        manifest(environments=None),
        manifest(made=None),
        manifest(without=3),
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_manifest_of_another_form_is_refused(content, tmp_path):
    seal(content, tmp_path)
    with pytest.raises(AebayesError, match=r"manifest\.json: ") as refused:
        read_manifest(tmp_path)
    assert "restore it from a copy" in refused.value.remedy
