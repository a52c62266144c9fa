"""Kills, a full disk, a folder that takes no writes, a clock that jumps, two runs at once."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from projects import TOOLS, Project, make_project, study

from aebayes.cli import main

NOTHING = "Nothing to be done"
KILLS = 20


def start(
    project: Project, *options: str, cores: int = 8, config: Sequence[str] = ()
) -> subprocess.Popen:
    """The pipeline, in a process group of its own."""
    command = [TOOLS / "snakemake", "--cores", str(cores), "all", *options]
    command += ["--config", "study=tiny.yaml", *config]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = project.environment()
    return subprocess.Popen(
        command, cwd=project.folder, env=environment, start_new_session=True, **quiet
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until a file or folder is there."""
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, "the pipeline ended early"
        time.sleep(0.02)


def with_avb_to_do(finished: Project, folder: Path) -> Project:
    """The finished project without one of its runs, the longest, and all that follows from it."""
    project = finished.copy(folder)
    results = project.folder / "results/tiny"
    for part in ("runs/avb-four-points", "tables", "figures"):
        shutil.rmtree(results / part)
    return project


@pytest.mark.slow
def test_study_killed_at_random_moments_ends_on_one_core_in_the_bytes_of_eight(finished, tmp_path):
    project = make_project(tmp_path / "killed", study())
    chance, kills = random.Random(1), 0
    for _ in range(3 * KILLS):
        options = ("--nolock", "--resources", "processors=8")  # eight at once on any machine
        process = start(project, *options, cores=chance.choice((1, 8)))
        try:
            process.wait(timeout=chance.uniform(0.5, 9))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        if kills == KILLS:
            break
        if process.returncode == 0:  # it was done: begin anew, with all that is made taken away
            shutil.rmtree(project.folder / "results")
    assert kills == KILLS
    # So that one core has training to do, however much was done before.
    shutil.rmtree(project.folder / "results/tiny/runs/avb-four-points", ignore_errors=True)
    done = project.snakemake("all", cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    expected, found = finished.results(), project.results()
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    for kind in ("checkpoint", "optimiser"):
        assert sum(name.endswith(f"/{kind}.safetensors") for name in expected) == 6
    assert project.aebayes("audit").returncode == 0


@pytest.mark.slow
def test_run_that_is_asked_to_stop_goes_on_later_and_refuses_a_second_at_once(finished, tmp_path):
    project = with_avb_to_do(finished, tmp_path / "stopped")
    process = start(project)
    wait_for(project.folder / "results/tiny/resume/avb-four-points.safetensors", process)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) != 0
    run = project.folder / "results/tiny/runs/avb-four-points"
    assert not (run / "checkpoint.safetensors").exists()
    assert project.snakemake("--unlock").returncode == 0

    first = start(project)
    wait_for(project.folder / ".snakemake/locks/0.input.lock", first)
    second = project.snakemake("all")
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout + second.stderr
    assert first.wait(timeout=900) == 0
    log = (project.folder / "results/tiny/logs/train-avb-four-points.log").read_text()
    assert "going on from step" in log
    assert project.results() == finished.results()


def forking(process: subprocess.Popen) -> list[psutil.Process]:
    """The server that forks a pipeline's steps, and what it has forked."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a step that has just ended
            if "aebayes.forkserver" in child.cmdline():
                found.append(child)
    return found


@pytest.mark.slow
def test_killed_pipeline_takes_its_forked_training_along_whose_state_is_saved(finished, tmp_path):
    project = with_avb_to_do(finished, tmp_path / "forked")
    state = project.folder / "results/tiny/resume/avb-four-points.safetensors"
    process = start(project)
    wait_for(state, process)
    server, *_ = found = forking(process)
    assert {child.pid for child in server.children()} & {child.pid for child in found}
    process.kill()  # Snakemake alone
    process.wait()
    _, left = psutil.wait_procs(found, timeout=60)
    assert left == []
    log = project.folder / "results/tiny/logs/train-avb-four-points.log"
    assert "was asked to stop (SIGTERM)" in log.read_text()

    log.unlink()
    alone = start(project, "--nolock", config=["fork_steps=False"])
    wait_for(log, alone)
    assert forking(alone) == []
    assert alone.wait(timeout=900) == 0
    assert "going on from step" in log.read_text()
    assert project.results() == finished.results()


def mount(*options: str) -> None:
    """Mount, or skip the test where that is not allowed."""
    done = subprocess.run(["mount", *options], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system can be mounted by root alone: {done.stderr.strip()}")


@pytest.fixture
def on_disk(finished: Project, tmp_path: Path) -> Iterator[Project]:
    """The finished project on a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder))
    try:
        yield finished.copy(folder / "project")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# By stage: a command, and a file that it makes.
STAGES = {
    "prepare": (("prepare", "digits"), "data/processed/digits.npz"),
    "train": (("train", "vae-digits"), "results/tiny/runs/vae-digits/checkpoint.safetensors"),
    "evaluate": (("evaluate", "vae-digits"), "results/tiny/runs/vae-digits/metrics.json"),
    "table": (("table", "avb-table-1"), "results/tiny/tables/avb-table-1.csv"),
    "figure": (("figure", "avb-figure-3"), "results/tiny/figures/avb-figure-3.png"),
    "manifest": (("manifest",), "results/tiny/manifest.json"),
}


def run(project: Project, *words: str) -> Result:
    """A command in the project's folder; in this process, as others would import torch first."""
    study = () if words[0] == "prepare" else ("--study", "tiny.yaml")
    with contextlib.chdir(project.folder):
        return CliRunner().invoke(main, [*words, *study])


def check_refused(done: Result, path: Path) -> None:
    """Check for one clear error, and nothing half written."""
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert "error: cannot write" in done.stderr
    assert "remedy: " in done.stderr
    assert not path.exists()
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.slow
def test_full_disk_at_any_stage_loses_nothing(on_disk):
    filler = on_disk.folder / "filler"
    for words, name in STAGES.values():
        path = on_disk.folder / name
        content = path.read_bytes()
        path.unlink()
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"\0" * 4096)
        done = run(on_disk, *words)
        filler.unlink()
        check_refused(done, path)
        assert run(on_disk, *words).exit_code == 0
        if words[0] != "manifest":  # it says when it was made
            assert path.read_bytes() == content


@pytest.mark.slow
def test_folder_that_takes_no_writes_is_named_at_any_stage(on_disk):
    disk = str(on_disk.folder.parent)
    for words, name in STAGES.values():
        path = on_disk.folder / name
        content = path.read_bytes()
        path.unlink()
        mount("-o", "remount,ro", disk)
        done = run(on_disk, *words)
        mount("-o", "remount,rw", disk)
        check_refused(done, path)
        path.write_bytes(content)
    mount("-o", "remount,ro", disk)
    done = run(on_disk, "audit")
    mount("-o", "remount,rw", disk)
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert "cannot write" in done.stderr


def test_clock_that_jumps_makes_nothing_run_again(finished, tmp_path):
    project = finished.copy(tmp_path / "jumped")
    day = 24 * 3600
    for path in (project.folder / "data/processed").iterdir():
        os.utime(path, (time.time() + day,) * 2)
    for path in (project.folder / "results/tiny/runs").rglob("*.json"):
        os.utime(path, (time.time() - day,) * 2)
    planned = project.snakemake("--dry-run", "all")
    assert NOTHING in planned.stdout + planned.stderr, planned.stdout
