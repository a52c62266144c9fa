"""The lock, the conda environment and pyproject.toml say the same."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
LOCK = PROJECT / "envs" / "pipeline.lock"
CONDA = PROJECT / "envs" / "pipeline.yaml"
POST_DEPLOY = PROJECT / "envs" / "pipeline.post-deploy.sh"


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """Package to pinned version, as pyproject.toml names them."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    named = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    requirements = [Requirement(line) for line in named]
    return {canonicalize_name(one.name): str(one.specifier) for one in requirements}


@pytest.fixture(scope="module")
def locked() -> dict[str, tuple[str, list[str]]]:
    """Package to its version and hashes in the lock."""
    entries = {}
    for entry in LOCK.read_text().replace("\\\n", " ").splitlines():
        if entry.startswith("#"):
            continue
        requirement, *hashes = entry.split("--hash=")
        one = Requirement(requirement)
        entries[canonicalize_name(one.name)] = (str(one.specifier), [h.strip() for h in hashes])
    return entries


def test_every_direct_dependency_is_pinned_to_one_version(pins):
    assert {name for name, pin in pins.items() if not re.fullmatch(r"==[\w.]+", pin)} == set()


def test_lock_holds_every_direct_dependency_at_its_pinned_version(pins, locked):
    assert {name: locked[name][0] for name in pins} == pins


def test_every_locked_package_has_one_version_and_sha256_hashes(locked):
    for name, (version, hashes) in locked.items():
        assert version.startswith("=="), name
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), name


def test_lock_names_no_address_and_its_own_command():
    text = LOCK.read_text()
    assert "://" not in text and "index" not in text
    assert "uv export" in text.splitlines()[1]


def test_conda_environment_has_the_python_of_pyproject():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.12"
    assert "python=3.11" in yaml.safe_load(CONDA.read_text())["dependencies"]


def test_conda_environment_installs_this_very_lock_by_hash():
    script = POST_DEPLOY.read_text()
    assert hashlib.sha256(LOCK.read_bytes()).hexdigest() in script, (
        f"{LOCK.name} changed: write its SHA-256 into {POST_DEPLOY.name}"
    )
    assert "--require-hashes" in script


def test_git_tracks_no_lock_that_holds_addresses():
    listed = subprocess.run(["git", "ls-files", "uv.lock"], cwd=PROJECT, capture_output=True)
    assert listed.stdout == b""


def test_citation_names_the_version_and_licence_of_pyproject():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
