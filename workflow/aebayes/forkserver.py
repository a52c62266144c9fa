"""A process that has torch imported forks one for each step: Snakemake starts a hundred of them.

The workflow starts it, and it ends with the workflow. `python -m aebayes train ...` then hands
its arguments, folder, environment and standard streams over, and ends as the forked process does.
What that one computes is what it would have computed alone: it imports this library itself, and
shares only what was imported of others. Linux only; elsewhere, and whenever a server cannot be
had, steps run alone.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import secrets
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NoReturn

LIBRARY = Path(__file__).parents[1]
ADDRESS = "AEBAYES_FORK_SERVER"  # the environment variable that tells a step where one listens
# What each step imports of other libraries, and takes long.
IMPORTED = {
    "train": ("jsonschema", "numpy", "scipy.spatial", "torch"),
    "evaluate": ("jsonschema", "numpy", "scipy.spatial", "torch", "sklearn.ensemble"),
    "table": ("jsonschema",),
    "figure": ("jsonschema", "matplotlib.pyplot", "pandas", "seaborn"),
}
STREAMS = {0, 1, 2}
REQUEST = 1 << 17  # bytes, at most
ALONE = b"alone"  # the answer to a request that cannot be met
ASKED_TO_STOP = {signal.SIGINT, signal.SIGTERM}
PR_SET_PDEATHSIG = 1  # of prctl(2)
# Snakemake gives each job its rule's threads in these; OpenBLAS reads its own when it is loaded.
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
THREADS = (BLAS_THREADS, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class ForkServer:
    """A server as its starter sees it: there as long as this object is.

    Args:
        address: where it listens, a name of Linux's abstract sockets, which are no files.
    """

    process: subprocess.Popen
    address: str

    @classmethod
    def start(cls) -> "ForkServer | None":
        """Start a server, if this system has what it takes."""
        if not sys.platform.startswith("linux"):
            return None
        address = f"aebayes-{secrets.token_hex(16)}"
        environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(LIBRARY)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as in the rules
        try:
            os.close(os.pidfd_open(os.getpid()))
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(f"\0{address}")
                listener.listen(socket.SOMAXCONN)
                process = subprocess.Popen(
                    [sys.executable, "-m", "aebayes.forkserver", str(listener.fileno())],
                    stdin=subprocess.PIPE,
                    pass_fds=[listener.fileno()],
                    env=environment,
                )
        except OSError:
            return None
        return cls(process, address)

    def stop(self) -> None:
        """End it, and what it forked."""
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Serving:
    """The server itself.

    Args:
        listener: where clients connect.
        lifeline: a pipe that is closed when who started the server is gone.
    """

    listener: socket.socket
    lifeline: int
    # Not by epoll, whose list a forked process shares.
    selector: selectors.BaseSelector = field(default_factory=selectors.PollSelector)
    clients: dict[int, socket.socket] = field(default_factory=dict)  # by the forked process
    ending: bool = False

    def run(self) -> dict | None:
        """Fork until who started the server is gone and every step has ended.

        Returns:
            In a forked process what it was asked for, with signals held back; elsewhere None.
        """
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.lifeline, selectors.EVENT_READ, self.end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        while self.clients or not self.ending:
            ready = self.selector.select()
            # So that a signal meets a process and its client both there, or both gone.
            signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_STOP)
            for key, _ in ready:
                request = key.data(key.fileobj)
                if request is not None:
                    self.leave()
                    return request
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)
        return None

    def accept(self, listener: socket.socket) -> None:
        """A client has connected."""
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            if of_this_user(client):
                self.selector.register(client, selectors.EVENT_READ, self.answer)
            else:
                client.close()

    def end(self, lifeline: int) -> None:
        """Who started the server is gone: end what it wanted."""
        self.ending = True
        self.selector.unregister(lifeline)
        self.selector.unregister(self.listener)
        self.listener.close()
        self.ask_to_stop()

    def ask_to_stop(self, *_: object) -> None:
        """Ask every forked process to."""
        for process in self.clients:
            os.kill(process, signal.SIGTERM)

    def answer(self, client: socket.socket) -> dict | None:
        """Start what a client asks for, or leave it to it; in a forked process its request."""
        self.selector.unregister(client)
        streams = []
        try:
            message, streams, _, _ = socket.recv_fds(client, REQUEST, len(STREAMS))
            if self.ending:  # nothing is begun any more
                raise ValueError
            request = json.loads(message) | {"server": os.getpid(), "streams": streams}
            for module in IMPORTED[request["arguments"][0]]:
                with contextlib.suppress(Exception):  # the step will say so
                    import_module(module)
            if len(streams) < len(STREAMS) or not STREAMS.isdisjoint(streams):
                raise ValueError
            if self.fork(client) == 0:
                return request
        except (OSError, ValueError, LookupError, TypeError):  # a full machine, or no request
            with client, contextlib.suppress(OSError):  # it is gone
                client.send(ALONE)
        for stream in streams:
            os.close(stream)
        return None

    def fork(self, client: socket.socket) -> int:
        """Fork, and watch client and process; as os.fork.

        Raises:
            OSError: that cannot be done now.
        """
        gc.freeze()  # a forked process need not look through what was imported
        process = os.fork()
        if process == 0:
            self.clients[0] = client
            return 0
        try:
            ended = os.pidfd_open(process)
        except OSError:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        self.clients[process] = client
        self.selector.register(client, selectors.EVENT_READ, lambda _: self.pass_on(process))
        self.selector.register(ended, selectors.EVENT_READ, lambda _: self.tell(process, ended))
        return process

    def pass_on(self, process: int) -> None:
        """A client was asked to stop, or is gone: so is what it asked for."""
        client = self.clients.get(process)
        if client is None:  # that has just ended
            return
        message = b""
        with contextlib.suppress(OSError):
            message = client.recv(REQUEST)
        if not message:
            self.selector.unregister(client)
        os.kill(process, int(message) if message.isdigit() else signal.SIGTERM)

    def tell(self, process: int, ended: int) -> None:
        """A forked process has ended: tell its client how."""
        _, status = os.waitpid(process, 0)
        client = self.clients.pop(process)
        for source in (ended, client):
            with contextlib.suppress(KeyError):
                self.selector.unregister(source)
        os.close(ended)
        with client, contextlib.suppress(OSError):  # it is gone
            client.send(str(os.waitstatus_to_exitcode(status)).encode())

    def leave(self) -> None:
        """In a forked process: hold nothing of the server's."""
        for key in self.selector.get_map().values():
            os.close(key.fileobj) if isinstance(key.fileobj, int) else key.fileobj.close()
        for client in self.clients.values():
            client.close()


def of_this_user(peer: socket.socket) -> bool:
    """Whether the other side of a socket runs as this user."""
    credentials = struct.Struct("3i")  # process, user, group
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    return credentials.unpack(found)[1] == os.getuid()


def end_with_parent(parent: int) -> None:
    """Have the system send SIGTERM to this process when its parent, of that number, is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before that
        sys.exit(128 + signal.SIGTERM)


def become(request: dict) -> None:
    """Take over a client's standard streams, folder, environment, threads and signals."""
    end_with_parent(request["server"])
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    if sys.stdout:
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.chdir(request["folder"])
    before = os.environ.get(BLAS_THREADS)
    os.environ.clear()
    os.environ.update(request["environment"])
    if os.environ.get(BLAS_THREADS) != before and "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        limit = os.environ.get(BLAS_THREADS) or len(os.sched_getaffinity(0))
        threadpool_limits(int(limit), user_api="blas")
    interrupt = signal.SIG_IGN if request["deaf"] else signal.default_int_handler
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_STOP)


def end_as_forked() -> NoReturn:
    """Run the command in sys.argv and end with its status, but leave the memory to the system.

    To take apart what was imported would take a quarter of a second.
    """
    status = 0
    try:
        runpy.run_module("aebayes", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError):  # who reads may be gone
            stream.flush()
    os._exit(status)


def run_forked(arguments: list[str]) -> int | None:
    """Have a server run a command, if there is one that knows and can run it; its exit status.

    Raises:
        SystemExit: the server has taken the command and is gone.
    """
    address = os.environ.pop(ADDRESS, None)
    if not address or not arguments or arguments[0] not in IMPORTED:
        return None
    request = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "deaf": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    }
    message = json.dumps(request).encode()
    if len(message) > REQUEST:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            server.connect(f"\0{address}")
            if server.fileno() in STREAMS or not of_this_user(server):
                return None
            socket.send_fds(server, [message], sorted(STREAMS))
        except OSError:  # none listens, or a standard stream is closed
            return None

        def pass_on(number: int, _: object) -> None:
            with contextlib.suppress(OSError):  # it has ended
                server.send(str(number).encode())

        before = {number: signal.signal(number, pass_on) for number in ASKED_TO_STOP}
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = server.recv(REQUEST)
    if answer == ALONE:
        for number, handler in before.items():
            signal.signal(number, handler)
        return None
    if not answer:
        sys.exit(f"error: what ran {arguments[0]} is gone\nremedy: start it again")
    status = int(answer)
    return status if status >= 0 else 128 - status


def main() -> None:
    """Serve at the socket whose number is the argument, until standard input is closed."""
    lifeline = os.dup(sys.stdin.fileno())
    request = Serving(socket.socket(fileno=int(sys.argv[1])), lifeline).run()
    if request is not None:
        become(request)
        sys.argv = ["aebayes", *request["arguments"]]
        end_as_forked()


if __name__ == "__main__":
    main()
