"""Fixtures for the whole suite."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def mnist_mirror() -> Path:
    """A directory that holds `mnist/*.gz`; tests that need the real images skip without one."""
    named = os.environ.get("AEBAYES_MIRRORS", "").split(",")
    for mirror in (*(Path(entry.strip()) for entry in named if entry.strip()), _neighbour()):
        if (mirror / "mnist").is_dir():
            return mirror
    pytest.skip("no MNIST mirror: set AEBAYES_MIRRORS")


def _neighbour() -> Path:
    """Where a mirror may lie beside the project."""
    return ROOT.parent / "shared" / "data"
