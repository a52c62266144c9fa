"""Steps that a server forks: they do what they would have done alone, and end as they would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from aebayes.cli import main
from aebayes.files import sha256
from aebayes.forkserver import ADDRESS, LIBRARY, REQUEST, ForkServer, run_forked

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="steps are forked on Linux alone"
)
EXPERIMENT = "avb-four-points"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study whose AVB takes minutes, and four points."""
    folder = tmp_path_factory.mktemp("forked")
    content = tiny.study()
    content["experiments"]["long"] = tiny.entry("avb", "four_points", steps=100_000)
    tiny.write(folder / "tiny.yaml", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for step in ("fetch", "prepare"):
            assert CliRunner().invoke(main, [step, "four_points"]).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """A server that the tests share."""
    server = ForkServer.start()
    yield server
    server.stop()


def start(folder: Path, address: Path | None, *words: str, **options: object) -> subprocess.Popen:
    """A command in `folder`, by the server at the address or alone."""
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), ADDRESS: str(address or "")}
    command = [sys.executable, "-m", "aebayes", *words, "--study", "tiny.yaml"]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **options)


def run(folder: Path, address: Path | None, *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start(folder, address, *words, **pipes)
    return process.wait(), *process.communicate()


def forked(server: ForkServer) -> list[int]:
    """The processes that it has forked and that have not ended."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(number) for number in children.read_text().split()]


def wait_until(done: callable) -> None:
    """Until `done` says so."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_forked_steps_write_and_say_what_they_do_alone(folder, server):
    said, made = [], []
    for address in (None, server.address):
        for step in ("train", "evaluate"):
            said.append(run(folder, address, step, EXPERIMENT))
        runs = folder / "results/tiny/runs" / EXPERIMENT
        names = ("checkpoint.safetensors", "optimiser.safetensors", "history.csv", "metrics.json")
        made.append([sha256(runs / name) for name in (*names, "arrays.npz")])
        said.append(run(folder, address, "train", "nope"))
        said.append(run(folder, address, "table", "nope"))
    alone, by_server = said[:4], said[4:]
    assert [status for status, _, _ in alone] == [0, 0, 2, 2]
    assert [status for status, _, _ in by_server] == [0, 0, 2, 2]
    assert [said[2] for said in alone[2:]] == [said[2] for said in by_server[2:]]
    assert made[0] == made[1]
    assert forked(server) == []


def test_steps_run_beside_each_other(folder, server):
    processes = [
        start(folder, server.address, "train", EXPERIMENT, "--run", f"beside-{number}")
        for number in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    checkpoints = {sha256(folder / f"beside-{n}" / "checkpoint.safetensors") for n in range(3)}
    assert len(checkpoints) == 1


def begin(folder: Path, server: ForkServer, name: str) -> tuple[subprocess.Popen, Path]:
    """A long training that has saved its state once."""
    state = folder / name / "state"
    words = ("train", "long", "--run", name, "--resume", str(state), "--save-every", "0.1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = start(folder, server.address, *words, **quiet)
    wait_until(state.exists)
    return process, state


def test_a_step_that_is_asked_to_stop_passes_it_on_and_ends_with_its_status(folder, server):
    process, state = begin(folder, server, "stopped")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert forked(server) == []
    assert state.exists()


def test_a_step_that_is_killed_takes_along_what_was_forked_for_it(folder, server):
    process, _ = begin(folder, server, "killed")
    assert len(forked(server)) == 1
    process.kill()
    process.wait()
    wait_until(lambda: not forked(server))
    assert server.process.poll() is None


def test_a_forked_process_that_is_killed_is_told_as_a_shell_does(folder, server):
    process, _ = begin(folder, server, "lost")
    os.kill(*forked(server), signal.SIGKILL)
    assert process.wait() == 128 + signal.SIGKILL


def test_a_server_ends_with_who_started_it_and_stops_all_that_it_forked(folder):
    server = ForkServer.start()
    process, _ = begin(folder, server, "ended")
    server.process.send_signal(signal.SIGINT)  # Ctrl-C is for the others
    server.stop()
    assert process.wait() == 143
    assert server.process.returncode == 0
    assert not server.address.parent.exists()


def test_a_server_that_is_gone_in_the_middle_of_a_step_is_told(folder):
    server = ForkServer.start()
    process = start(
        folder, server.address, "train", "long", "--run", "alone", stderr=subprocess.PIPE
    )
    wait_until(lambda: forked(server))
    (child,) = forked(server)
    server.process.kill()
    assert "error: what ran train is gone\nremedy: start it again" in process.stderr.read()
    assert process.wait() == 1
    os.kill(child, signal.SIGKILL)
    server.process.wait()
    server.address.unlink()
    server.address.parent.rmdir()


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["audit"], {}),
        ([], {}),
        (["--help"], {}),
        (["train", "x"], {"LONG": "x" * REQUEST}),
        (["train", "x"], {ADDRESS: "/nowhere/socket"}),
        (["train", "x"], {ADDRESS: ""}),
    ],
)
def test_what_a_server_does_not_know_or_cannot_take_runs_alone(
    server, monkeypatch, arguments, environment
):
    monkeypatch.setenv(ADDRESS, str(server.address))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run_forked(arguments) is None
    assert ADDRESS not in os.environ  # or a step that it starts would ask again


def test_a_folder_of_too_long_a_name_goes_without(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 120)))
    (tmp_path / ("x" * 120)).mkdir()
    assert ForkServer.start() is None
    assert list((tmp_path / ("x" * 120)).iterdir()) == []
