"""Steps that a server forks: they do what they would have done alone, and end as they would."""

import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from click.testing import CliRunner

from aebayes.cli import main
from aebayes.files import sha256
from aebayes.forkserver import ADDRESS, ALONE, LIBRARY, REQUEST, ForkServer, Serving, run_forked

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="steps are forked on Linux alone"
)
EXPERIMENTS = ("vae-four-points", "avb-four-points", "aae-four-points")


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


def start(folder: Path, address: str | None, *words: str, **options: object) -> subprocess.Popen:
    """A command in `folder`, by the server at the address or alone."""
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), ADDRESS: address or ""}
    command = [sys.executable, "-m", "aebayes", *words, "--study", "tiny.yaml"]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **options)


def run(folder: Path, address: str | None, *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start(folder, address, *words, **pipes)
    said = process.communicate()
    return process.returncode, *said


def forked(server: ForkServer) -> list[int]:
    """The processes that it has forked and that have not ended."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(number) for number in children.read_text().split()]


def wait_until(done: Callable[[], bool]) -> None:
    """Until `done` says so."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


STEPS = [
    *(("train", name) for name in EXPERIMENTS),
    *(("evaluate", name) for name in EXPERIMENTS),
    ("table", "avb-table-1"),
    ("figure", "avb-figure-3"),
    ("train", "nope"),
    ("table", "nope"),
    ("figure",),
]


def test_forked_steps_write_and_say_what_they_do_alone(folder, server):
    results = folder / "results/tiny"
    patterns = ("runs/*/*.safetensors", "runs/*/history.csv", "runs/*/metrics.json")
    patterns += ("runs/*/arrays.npz", "tables/*", "figures/*.png")
    said, made = [], []
    for address in (None, server.address):
        said.append([run(folder, address, *step) for step in STEPS])
        paths = [path for pattern in patterns for path in results.glob(pattern)]
        made.append({path.relative_to(results): sha256(path) for path in paths})
        shutil.rmtree(results)
    assert [status for status, _, _ in said[0]] == [0] * (len(STEPS) - 3) + [2, 2, 2]
    assert len(made[0]) == 5 * len(EXPERIMENTS) + 3 + 1
    assert made[0] == made[1]
    for alone, by_server in zip(*said, strict=True):
        assert alone[:2] == by_server[:2]
        assert without_times(alone[2]) == without_times(by_server[2])
    assert forked(server) == []


def without_times(said: str) -> str:
    """What a command said without how fast it was."""
    return re.sub(r"[\d.]+ steps/s, \d+ s left", "", said)


def test_steps_run_beside_each_other(folder, server):
    processes = [begin(folder, server, f"beside-{number}")[0] for number in range(3)]
    assert len(forked(server)) == 3
    for process in processes:
        process.terminate()
    assert [process.wait(timeout=60) for process in processes] == [143, 143, 143]
    assert forked(server) == []


def begin(
    folder: Path, server: ForkServer, name: str, **options: object
) -> tuple[subprocess.Popen, Path]:
    """A long training that has saved its state once."""
    state = folder / name / "state"
    words = ("train", "long", "--run", name, "--resume", str(state), "--save-every", "0.1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = start(folder, server.address, *words, **quiet | options)
    wait_until(state.exists)
    return process, state


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_step_that_is_asked_to_stop_passes_it_on_and_ends_with_its_status(
    folder, server, number, status
):
    process, state = begin(folder, server, f"stopped-{status}")
    process.send_signal(number)
    assert process.wait(timeout=60) == status
    assert forked(server) == []
    assert state.exists()


def test_a_step_in_a_shells_background_hears_what_it_hears_alone(folder, server):
    # Such a shell has SIGINT ignored; a training listens to it all the same.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process, state = begin(folder, server, "background")
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert state.exists()


def request(server: ForkServer, *words: str, **changes: object) -> socket.socket:
    """A client that has asked for a command."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(f"\0{server.address}")
    asked = {"arguments": words, "folder": "/", "environment": dict(os.environ), "deaf": False}
    with Path(os.devnull).open("r+") as null:
        message = json.dumps(asked | changes).encode()
        socket.send_fds(client, [message], [null.fileno()] * 3)
    return client


def test_a_step_that_is_asked_to_stop_while_it_starts_stops_and_no_other_does(folder, server):
    other, _ = begin(folder, server, "other")
    for number in range(40):
        own = ("--run", f"early-{number}", "--resume", f"early-{number}/state")
        words = ("train", "long", *own, "--study", "tiny.yaml")
        with request(server, *words, folder=str(folder)) as client:
            time.sleep(number // 2 / 2000)
            if number % 2:  # else it leaves without a word
                client.send(b"15")
                client.settimeout(60)
                assert client.recv(10) in (b"-15", b"143")
    # Who left early may be served late: a step that comes after them ends when they are begun.
    assert run(folder, server.address, "train", "nope")[0] == 2
    wait_until(lambda: len(forked(server)) == 1)
    assert other.poll() is None
    other.terminate()
    assert other.wait(timeout=60) == 143


def test_a_step_that_is_killed_takes_along_what_was_forked_for_it(folder, server):
    process, _ = begin(folder, server, "killed")
    assert len(forked(server)) == 1
    process.kill()
    process.wait(timeout=60)
    wait_until(lambda: not forked(server))
    assert server.process.poll() is None


def test_a_forked_process_that_is_killed_is_told_as_a_shell_does(folder, server):
    process, _ = begin(folder, server, "lost")
    os.kill(*forked(server), signal.SIGKILL)
    assert process.wait(timeout=60) == 128 + signal.SIGKILL


def test_a_server_ends_with_who_started_it_and_stops_all_that_it_forked(folder):
    server = ForkServer.start()
    process, _ = begin(folder, server, "ended")
    server.process.send_signal(signal.SIGINT)  # Ctrl-C is for the others
    server.stop()
    assert process.wait(timeout=60) == 143
    assert server.process.returncode == 0


def test_a_server_that_is_killed_takes_along_what_it_forked_and_its_clients_say_so(folder):
    server = ForkServer.start()
    process, state = begin(folder, server, "orphan", stderr=subprocess.PIPE)
    (child,) = forked(server)
    server.process.kill()
    assert "error: what ran train is gone\nremedy: start it again" in process.communicate()[1]
    assert process.returncode == 1
    wait_until(lambda: not Path(f"/proc/{child}").exists())
    assert state.exists()
    server.stop()


def test_a_module_that_cannot_be_imported_ends_its_step_alone(folder, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "nope")
    own = ForkServer.start()
    process, _ = begin(folder, own, "unmoved")
    status, _, errors = run(folder, own.address, "figure", "avb-figure-3")
    assert status == 1
    assert "nope" in errors
    assert process.poll() is None
    assert own.process.poll() is None
    own.stop()
    assert process.wait(timeout=60) == 143


@pytest.mark.parametrize(
    ("message", "streams"),
    [(b"{", 3), (b"[]", 3), (b"{}", 3), (b'{"arguments": ["audit"]}', 3), (b"{}", 0), (b"", 0)],
)
def test_what_is_no_request_is_left_to_who_made_it(server, message, streams):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"\0{server.address}")
        socket.send_fds(client, [message], [0] * streams)
        assert client.recv(10) == ALONE
    assert server.process.poll() is None


def test_a_machine_that_cannot_fork_now_leaves_steps_to_who_made_them(monkeypatch):
    def fork():
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    client, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    serving = Serving(socket.socket(), 0)
    serving.selector.register(other, selectors.EVENT_READ)
    with client:
        message = json.dumps({"arguments": ["table", "x"]}).encode()
        socket.send_fds(client, [message], [0, 1, 2])
        assert serving.answer(other) is None
        assert client.recv(10) == ALONE
    assert not serving.clients


def test_numpy_has_the_threads_of_the_step_and_not_those_of_the_server(folder):
    # That Snakemake's variables reach a library which was loaded before they were set.
    script = (
        "import os, numpy; from threadpoolctl import threadpool_info;"
        "from aebayes.forkserver import become; import signal;"
        "become({'server': os.getppid(), 'streams': [], 'folder': '.', 'deaf': False,"
        " 'environment': {'OPENBLAS_NUM_THREADS': '2'}});"
        "print({each['num_threads'] for each in threadpool_info()})"
    )
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "{2}\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["audit"], {}),
        ([], {}),
        (["--help"], {}),
        (["train", "x"], {"LONG": "x" * REQUEST}),
        (["train", "x"], {ADDRESS: "nobody"}),
        (["train", "x"], {ADDRESS: ""}),
    ],
)
def test_what_a_server_does_not_know_or_cannot_take_runs_alone(
    server, monkeypatch, arguments, environment
):
    monkeypatch.setenv(ADDRESS, server.address)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run_forked(arguments) is None
    assert ADDRESS not in os.environ  # or a step that it starts would ask again


def test_a_client_whose_streams_are_closed_runs_alone(server):
    script = "from aebayes.forkserver import run_forked; print(run_forked(['train', 'x']))"
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), ADDRESS: server.address}
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{script}" <&-'],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "None\n", done.stderr


def test_a_system_that_cannot_watch_processes_goes_without(monkeypatch):
    def pidfd_open(_: int) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    assert ForkServer.start() is None
