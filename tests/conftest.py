"""Fixtures for the whole suite."""

import os
from pathlib import Path

import pytest
import torch

from aebayes.data.prepare import prepare

ROOT = Path(__file__).resolve().parents[1]
LONGEST = ("workflow", "training", "evaluation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest folders first, so that at the end no worker waits for another."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A thread for each worker: on few cores more would wait for one another."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws without a generator of its own is the same in every run and order."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mnist_mirror() -> Path:
    """A directory that holds `mnist/*.gz`; tests that need the real images skip without one."""
    named = os.environ.get("AEBAYES_MIRRORS", "").split(",")
    for mirror in (*(Path(entry.strip()) for entry in named if entry.strip()), _neighbour()):
        if (mirror / "mnist").is_dir():
            return mirror
    pytest.skip("no MNIST mirror: set AEBAYES_MIRRORS")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four_points and digits prepared."""
    folder = tmp_path_factory.mktemp("processed")
    for name in ("four_points", "digits"):
        prepare(name, folder / "raw", folder / f"{name}.npz", folder / f"{name}.json")
    return folder


def _neighbour() -> Path:
    """Where a mirror may lie beside the project."""
    return ROOT.parent / "shared" / "data"
