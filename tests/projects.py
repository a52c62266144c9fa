"""Projects in temporary folders, with the tiny study, for Snakemake to run in."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tiny

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config", "workflow", "profiles", "envs", ".dvc", ".dvcignore", ".gitignore")
TOOLS = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A copy of the project, committed to a git repository of its own."""

    folder: Path

    def copy(self, folder: Path) -> "Project":
        """A copy of its own in `folder`, which a test may spoil."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def command(self, *words: object) -> subprocess.CompletedProcess:
        """Run a command in the project; it need not succeed."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=900,
        )

    @staticmethod
    def environment() -> dict[str, str]:
        """This one, with the tests' tools first and no mirror."""
        path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "AEBAYES_MIRRORS": "", "AEBAYES_TRAIN_SAVE_EVERY": "0.2"}

    def snakemake(self, *words: object, cores: int = 8) -> subprocess.CompletedProcess:
        """Run Snakemake on the tiny study."""
        study = ("--config", "study=tiny.yaml")
        return self.command(TOOLS / "snakemake", "--cores", cores, *words, *study)

    def aebayes(self, *words: object) -> subprocess.CompletedProcess:
        """Run a command of the project's own library on the tiny study."""
        own = f"PYTHONPATH={self.folder / 'workflow'}"
        command = ("env", own, TOOLS / "python", "-m", "aebayes")
        return self.command(*command, *words, "--study", "tiny.yaml")

    def dvc(self, *words: str) -> subprocess.CompletedProcess:
        """Run a DVC command."""
        return self.command(TOOLS / "dvc", *words)

    def git(self, *words: str) -> str:
        """What a git command prints."""
        done = self.command("git", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def identify(self) -> None:
        """Give git a name for commits and tags, which this machine may have or not."""
        self.git("config", "user.name", "test")
        self.git("config", "user.email", "test@example.org")

    def results(self) -> dict[str, bytes]:
        """What must not depend on how the run went: checkpoints, metrics, arrays, tables."""
        results = self.folder / "results" / "tiny"
        patterns = ("runs/*/*.safetensors", "runs/*/metrics.json", "runs/*/arrays.npz")
        patterns += ("runs/*/history.csv", "tables/*")
        found = [path for pattern in patterns for path in sorted(results.glob(pattern))]
        return {str(path.relative_to(results)): path.read_bytes() for path in found}


def make_project(folder: Path, study: dict) -> Project:
    """Copy the project to `folder` and commit it."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        ignore = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part, **({"ignore": ignore} if source.is_dir() else {}))
    for name in ("four_points", "digits"):
        record = ROOT / "data" / "processed"
        for path in record.glob(f"{name}.*.dvc"):
            (folder / "data" / "processed").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / "data" / "processed" / path.name)
    tiny.write(folder / "tiny.yaml", study)
    project = Project(folder)
    project.git("init", "--quiet")
    project.identify()
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "project")
    return project


def study() -> dict:
    """The tiny study with an IWAE that starts from a VAE, its AVB long enough to be killed."""
    content = tiny.study()
    content["experiments"]["avb-four-points"]["training"]["steps"] = 1000
    before, after = tiny.entry("iwae", "digits"), tiny.entry("iwae", "digits", seed=2)
    before["objective"] = {"samples": 1, "weighting": "average"}
    content["experiments"] |= {"before-digits": before, "after-digits": after}
    after["start_from"] = "before-digits"
    return content
