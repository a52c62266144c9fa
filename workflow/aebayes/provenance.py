"""Where a number came from: code, libraries, machine, time."""

import ast
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from aebayes.errors import AebayesError

PACKAGE = Path(__file__).parent


# What each step's numbers depend on, in the library. The files with a gap are one's own: of the
# experiment's method, of the dataset; with them go the files beside them that they import.
METHOD = "methods/{}.py"
DATASET = "data/{}.py"
CODE = {
    "prepare": ("files.py", "data/prepare.py", DATASET),
    "train": (
        *("adam.py", "streams.py", "devices.py", "tensors.py", "runs.py", "settings.py"),
        *("compilation.py", "kernels.py"),
        *("networks", "training", "data/dataset.py"),
        *("evaluation/classes.py", "evaluation/metrics.py"),  # an error that training tracks
        *("methods/base.py", "methods/make.py", METHOD),
    ),
    "evaluate": (
        *("adam.py", "streams.py", "devices.py", "tensors.py", "runs.py", "settings.py"),
        *("compilation.py", "kernels.py"),
        *("networks", "evaluation", "data/dataset.py"),
        *("methods/base.py", "methods/make.py", METHOD),
    ),
    "table": ("files.py", "labels.py", "tables"),
    "figure": ("files.py", "labels.py", "figures", "data/dataset.py"),
    "version": ("version.py", "records.py", "audit/manifest.py"),
}


def code_of(step: str, own: str = "") -> str:
    """SHA-256 over the library's code that a step reaches, in hex.

    Of the syntax trees without docstrings: a better comment does not train a model again.

    Args:
        own: the experiment's method, or the module of the dataset.
    """
    digest = hashlib.sha256()
    for part in CODE[step]:
        path = PACKAGE / part
        if part in (METHOD, DATASET):
            files = own_files(part, own)
        else:
            files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(f"{file.relative_to(PACKAGE)}\0".encode())
            digest.update(code_in(file.read_text()).encode())
    return digest.hexdigest()


@cache
def own_files(part: str, own: str) -> list[Path]:
    """A method's or dataset's own file, and those beside it that it imports, or they in turn.

    Args:
        part: METHOD or DATASET.

    Raises:
        AebayesError: it has no file of its name.
    """
    files = [PACKAGE / part.format(own)]
    if not files[0].is_file():
        raise AebayesError(f"{files[0]} is missing", f"keep the code of {own!r} in that file")
    beside = f"aebayes.{files[0].parent.name}."
    for file in files:  # which grows
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith(beside):
                imported = PACKAGE / part.format(node.module.split(".")[2])
                if imported not in files:
                    files.append(imported)
    return sorted(files)


@cache
def code_in(source: str) -> str:
    """The syntax tree without docstrings, as text; once per source, which many jobs share."""
    return ast.dump(without_docstrings(ast.parse(source)))


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same code with every docstring emptied."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return tree


def git(*arguments: str) -> str:
    """What a git command prints about the checkout that holds the library."""
    done = subprocess.run(
        ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def git_commit() -> str | None:
    """The commit checked out, with `+changes` if the tree differs from it; None outside git."""
    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """The processor's model name, as the system gives it, and on x86 its family and model number.

    Clouds name every EPYC an "AMD EPYC"; the numbers tell generations, and so rounding, apart.
    """
    try:
        entries = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
        facts = {
            key.strip(): value.strip()
            for key, _, value in (entry.partition(":") for entry in entries)
        }
        numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
        return ", ".join([facts["model name"], *numbers])
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


class Began(NamedTuple):
    """When a step began, by two clocks: one that people read, and one that never jumps.

    Args:
        clock: seconds since 1970.
        steady: seconds since some moment.
    """

    clock: float
    steady: float

    @classmethod
    def now(cls) -> "Began":
        """This moment."""
        return cls(time.time(), time.monotonic())


def provenance(libraries: Sequence[str], began: Began, **facts: object) -> dict:
    """What to write beside a result.

    Args:
        libraries: distributions whose versions matter.
        began: when the step did.
        facts: further entries (device, hashes, …).
    """
    return {
        **facts,
        "code_version": git_commit(),
        "libraries": {name: version(name) for name in libraries},
        "python": platform.python_version(),
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began.clock)),
        "wall_seconds": round(time.monotonic() - began.steady, 2),
    }


def device_count(device: str) -> int:
    """1 if jobs will ask for a GPU, else 0, told without importing torch.

    Args:
        device: auto, cpu or cuda.
    """
    return int(device == "cuda" or (device == "auto" and Path("/dev/nvidia0").exists()))
