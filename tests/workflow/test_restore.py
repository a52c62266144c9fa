"""A study restored elsewhere: from a folder, from S3 and over SSH, by real servers on loopback."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from projects import TOOLS, Project

from aebayes.files import sha256

NOTHING = "Nothing to be done"
GROUP = "uv run --group remotes pytest tests/workflow/test_restore.py"
WITH_GIT = ".dvc/with-git.config"


def owner(finished: Project, folder: Path, url: str, **options: str) -> Project:
    """The finished project with a default remote, pushed, its reference results committed."""
    project = finished.copy(folder)
    succeed(project.dvc("remote", "add", "--default", "store", url))
    for key, value in options.items():
        succeed(project.dvc("remote", "modify", "store", key, value))
    succeed(project.aebayes("promote"))
    succeed(project.dvc("push"))
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "reference results")
    return project


def succeed(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    """The command, which must have ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def clone_of(project: Project, folder: Path) -> Project:
    """A clone, which has nothing that git does not."""
    succeed(project.command("git", "clone", "--quiet", project.folder, folder))
    clone = Project(folder)
    clone.identify()
    return clone


def assert_restored(clone: Project, finished: Project) -> None:
    """Check that a clone is as if it had run the study, and that nothing needs to run."""
    succeed(clone.aebayes("restore"))
    planned = clone.snakemake("--dry-run", "all")
    assert NOTHING in planned.stdout + planned.stderr, planned.stdout
    assert clone.results() == finished.results()


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("owner")
    return owner(finished, folder / "project", os.fspath(folder / "store"))


@pytest.fixture(scope="module")
def clone(project, finished, tmp_path_factory):
    clone = clone_of(project, tmp_path_factory.mktemp("clone") / "project")
    assert_restored(clone, finished)
    return clone


def test_restored_study_is_clean_and_has_the_same_manifest(clone, finished):
    succeed(clone.aebayes("audit"))
    path = Path("results/tiny/manifest.json")
    assert (clone.folder / path).read_bytes() == (finished.folder / path).read_bytes()


def test_figures_that_were_deleted_come_back_the_same_without_training(clone):
    figures = clone.folder / "results/tiny/figures"
    drawn = {path.name: path.read_bytes() for path in figures.iterdir()}
    shutil.rmtree(figures)
    planned = clone.snakemake("--dry-run", "all").stdout
    assert "avb_figure_3" in planned
    assert "rule train" not in planned
    assert "rule evaluate" not in planned
    succeed(clone.snakemake("all"))
    assert {path.name: path.read_bytes() for path in figures.iterdir()} == drawn


def test_spoilt_files_are_replaced_and_whole_ones_stay(clone):
    run = clone.folder / "results/tiny/runs/vae-digits"
    spoilt, whole = run / "checkpoint.safetensors", run / "history.csv"
    content, before = spoilt.read_bytes(), whole.read_bytes()
    spoilt.write_bytes(content[:100])
    succeed(clone.aebayes("restore"))
    assert spoilt.read_bytes() == content
    assert whole.read_bytes() == before


def test_run_that_was_trained_here_is_not_written_over(clone):
    results = clone.folder / "results/tiny"
    record, table = results / "runs/vae-digits/training.json", results / "tables/avb-table-1.csv"
    known, drawn = record.read_bytes(), table.read_bytes()
    record.write_bytes(known.replace(b'"wall_seconds": ', b'"wall_seconds": 1'))
    table.unlink()
    done = clone.aebayes("restore")
    assert done.returncode == 2
    assert "runs/vae-digits/training.json is not that of results/reference/tiny" in done.stderr
    assert record.read_bytes() != known and not table.exists()
    record.write_bytes(known)
    succeed(clone.aebayes("restore"))
    assert table.read_bytes() == drawn


def test_best_checkpoint_of_a_method_is_got_by_its_name(project, clone, tmp_path):
    name = "results/reference/tiny:avb-four-points"
    succeed(clone.command(TOOLS / "gto", "register", name))
    got = tmp_path / "avb.safetensors"
    succeed(clone.dvc("artifacts", "get", "--config", WITH_GIT, ".", name, "-o", str(got)))
    assert sha256(got) == sha256(
        project.folder / "results/tiny/runs/avb-four-points/checkpoint.safetensors"
    )


def test_metrics_of_two_commits_are_compared_by_dvc(project, tmp_path):
    clone = clone_of(project, tmp_path / "project")
    path = clone.folder / "results/reference/tiny/metrics/vae-digits.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"nll": metrics["nll"] - 1}))
    clone.git("commit", "--quiet", "--all", "--message", "another run")
    succeed(clone.dvc("config", "--local", "core.no_scm", "false"))
    done = succeed(clone.dvc("metrics", "diff", "HEAD~1", "HEAD", "--json"))
    (found,) = json.loads(done.stdout).values()
    assert found["nll"]["diff"] == pytest.approx(-1)


def test_what_no_remote_has_is_named_and_the_rest_is_there(project, tmp_path):
    clone = clone_of(project, tmp_path / "project")
    store = tmp_path / "empty"
    succeed(clone.dvc("remote", "modify", "--local", "store", "url", str(store)))
    done = clone.aebayes("restore")
    assert done.returncode == 2
    said = done.stderr.partition("can be had from nowhere: ")[2]
    assert all(
        f"runs/{name}/{kind}.safetensors" in said
        for name in ("vae-digits", "avb-four-points")
        for kind in ("checkpoint", "optimiser")
    )
    assert "Traceback" not in done.stderr
    assert (clone.folder / "results/tiny/tables/avb-table-1.csv").exists()


def stored(project: Project, key: str) -> Path:
    """The object of a file of the study in its remote."""
    pointer = project.folder / f"results/tiny/{key}.dvc"
    name = yaml.safe_load(pointer.read_text())["outs"][0]["md5"]
    return project.folder.parent / "store/files/md5" / name[:2] / name[2:]


def planned(clone: Project) -> list[str]:
    """The trainings that Snakemake would run."""
    lines = succeed(clone.snakemake("--dry-run", "all")).stdout.splitlines()
    runs = [lines[i + 1 : i + 20] for i, line in enumerate(lines) if line.startswith("rule train")]
    return [next(line for line in run if "wildcards" in line).split("=")[1] for run in runs]


def test_object_that_is_missing_costs_its_own_training_and_no_other(project, tmp_path):
    key = "runs/vae-digits/checkpoint.safetensors"
    lost = stored(project, key)
    kept = lost.read_bytes()
    lost.unlink()
    clone = clone_of(project, tmp_path / "project")
    done = clone.aebayes("restore")
    lost.write_bytes(kept)
    assert done.returncode == 2
    assert "not all is back (1 missing)" in done.stderr and key in done.stderr
    assert planned(clone) == ["vae-digits"]
    succeed(clone.aebayes("restore"))
    assert planned(clone) == []


@pytest.mark.parametrize("place", ["remote", "cache"])
def test_damaged_object_is_not_put_in_place_and_once_mended_comes_back(project, place, tmp_path):
    key = "runs/vae-digits/checkpoint.safetensors"
    clone = clone_of(project, tmp_path / "project")
    damaged = stored(project, key)
    kept, mode = damaged.read_bytes(), damaged.stat().st_mode
    if place == "cache":  # which DVC takes for right, being read-only
        succeed(clone.aebayes("restore"))
        (clone.folder / "results/tiny" / key).unlink()
        damaged = clone.folder / ".dvc/cache/files/md5" / damaged.parent.name / damaged.name
    damaged.chmod(0o644)
    damaged.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    damaged.chmod(0o444)
    done = clone.aebayes("restore")
    if place == "remote":
        damaged.chmod(0o644)
        damaged.write_bytes(kept)
        damaged.chmod(mode)
        assert done.returncode == 2
        assert "came with other bytes than they should have: " in done.stderr
        assert key in done.stderr and "mend the remote" in done.stderr
        assert not (clone.folder / "results/tiny" / key).exists()
        done = clone.aebayes("restore")
    succeed(done)
    assert (clone.folder / "results/tiny" / key).read_bytes() == kept


def test_what_dvc_brings_to_reference_results_does_not_hinder_the_next(project, tmp_path):
    clone = project.copy(tmp_path / "project")
    succeed(clone.dvc("checkout"))
    reference = clone.folder / "results/reference/tiny"
    brought = reference / "runs/vae-digits/checkpoint.safetensors"
    assert brought.exists()
    succeed(clone.aebayes("promote"))
    brought.parent.mkdir(parents=True, exist_ok=True)
    brought.write_bytes(b"other weights")
    done = clone.aebayes("promote")
    assert done.returncode == 2 and "it would be lost" in done.stderr


@pytest.mark.parametrize("missing", [True, False])
def test_unknown_remote_is_named(clone, missing):
    if missing:
        (clone.folder / "results/tiny/runs/vae-digits/checkpoint.safetensors").unlink()
    else:
        succeed(clone.aebayes("restore"))
    done = clone.aebayes("restore", "--remote", "nobody")
    assert done.returncode == 2
    assert "DVC knows no remote 'nobody'" in done.stderr


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def s3(monkeypatch) -> Iterator[str]:
    """The address of a server that speaks S3, with a bucket `studies`."""
    pytest.importorskip("dvc_s3", reason=GROUP)
    boto3 = pytest.importorskip("boto3", reason=GROUP)
    address = f"http://127.0.0.1:{(port := free_port())}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    command = [TOOLS / "moto_server", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as server:
        try:
            wait_for(port)
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket="studies")
            yield address
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    """Until a server listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_study_goes_through_s3(finished, s3, tmp_path):
    project = owner(finished, tmp_path / "owner", "s3://studies/store", endpointurl=s3)
    assert_restored(clone_of(project, tmp_path / "clone"), finished)


@contextmanager
def ssh_server(root: Path) -> Iterator[tuple[int, Path]]:
    """A server that speaks SFTP to who has its key; its port, and the key's file."""
    asyncssh = pytest.importorskip("asyncssh", reason=GROUP)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key_file, public = root / "key", root / "key.pub"
    key.write_private_key(key_file)
    key.write_public_key(public)
    key_file.chmod(0o600)
    port, loop, ready = free_port(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        host = asyncssh.generate_private_key("ssh-ed25519")
        await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[host],
            authorized_client_keys=os.fspath(public),
            sftp_factory=True,
        )
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield port, key_file
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.slow
def test_study_goes_over_ssh(finished, tmp_path):
    pytest.importorskip("dvc_ssh", reason=GROUP)
    with ssh_server(tmp_path) as (port, key):
        url = f"ssh://127.0.0.1{tmp_path / 'store'}"
        options = {"port": str(port), "user": "tester", "keyfile": str(key)}
        project = owner(finished, tmp_path / "owner", url, **options)
        assert_restored(clone_of(project, tmp_path / "clone"), finished)
