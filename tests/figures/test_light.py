"""What tables and figures import, seen from fresh processes; and that their bytes repeat."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aebayes.config import ROOT

DRAW = """
import sys
from pathlib import Path
from aebayes.config import Study
from aebayes.figures import make_figure

study = Study(Path("own.yaml"), "own", {
    "datasets": {"four_points": {"binarisation": "none"}},
    "experiments": {"avb-run": {"method": "avb", "dataset": "four_points"}},
    "figures": {"avb-theory": {"experiments": {"AVB": "avb-run"}}},
})
made, out = map(Path, sys.argv[1:])
make_figure("avb-theory", study, made / "runs", made / "processed", out)
assert "torch" not in sys.modules, "drawing imports torch"
"""

TABULATE = """
import sys
from pathlib import Path
from aebayes.config import load_study
from aebayes.tables import make_table

make_table("avb-table-1", load_study("pocket"), Path("nowhere"), Path(sys.argv[1]))
heavy = {"torch", "torchvision", "matplotlib", "pandas", "seaborn"} & set(sys.modules)
assert not heavy, heavy
"""

IMPORT = """
import sys
import aebayes.tables, aebayes.figures

heavy = {"torch", "torchvision", "matplotlib", "pandas", "seaborn", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def run(code: str, *arguments: Path, seed: int = 0) -> None:
    """Run code in a fresh process; fails with its standard error."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "workflow"),
        "PYTHONHASHSEED": str(seed),
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_importing_tables_and_figures_imports_nothing_heavy() -> None:
    run(IMPORT)


def test_making_a_table_imports_nothing_heavy(tmp_path: Path) -> None:
    run(TABULATE, tmp_path)
    assert (tmp_path / "avb-table-1.tex").exists()


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_a_figure_has_the_same_bytes_in_every_process(kind: str, twice: tuple[Path, Path]) -> None:
    first, second = (folder / f"avb-theory.{kind}" for folder in twice)
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="module")
def twice(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Drawn by two processes; neither imports torch."""
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for seed, folder in enumerate(folders):
        run(DRAW, made, folder, seed=seed)
    return folders
