"""A process that has torch imported forks one for each step: Snakemake starts a hundred of them.

The workflow starts it, and it ends with the workflow. `python -m aebayes train ...` then hands
its arguments, folder, environment and standard streams over, and ends as the forked process does.
What that one computes is what it would have computed alone: it imports this library itself, and
shares only what was imported of others.
"""

import contextlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

ADDRESS = "AEBAYES_FORK_SERVER"  # the environment variable that tells a step where it listens
# What each step imports of other libraries, and takes long.
IMPORTED = {
    "train": ("jsonschema", "numpy", "scipy.spatial", "torch"),
    "evaluate": ("jsonschema", "numpy", "scipy.spatial", "torch"),
    "table": ("jsonschema", "pandas"),
    "figure": ("jsonschema", "matplotlib.pyplot", "pandas", "seaborn"),
}
LIBRARY = Path(__file__).parents[1]
REQUEST = 1 << 17  # bytes, at most
STREAMS = 3
STOP = b"stop"


@dataclass(frozen=True)
class ForkServer:
    """A server as its starter sees it: there as long as this object is.

    Args:
        address: where it listens.
    """

    process: subprocess.Popen
    address: Path

    @classmethod
    def start(cls) -> "ForkServer | None":
        """Start a server, if this system can fork after an import and watch what it forked."""
        if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
            return None
        address = Path(tempfile.mkdtemp(prefix="aebayes-")) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            try:
                listener.bind(str(address))
            except OSError:  # a path of more than 107 bytes
                address.parent.rmdir()
                return None
            listener.listen(socket.SOMAXCONN)
            process = subprocess.Popen(
                [sys.executable, "-m", "aebayes.forkserver", str(listener.fileno()), str(address)],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env=os.environ | {"PYTHONPATH": str(LIBRARY)},
            )
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

    def run(self) -> list[str] | None:
        """Fork until who started the server is gone and every step has ended.

        Returns:
            In a forked process the arguments that it was asked to run with, elsewhere None.
        """
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.lifeline, selectors.EVENT_READ, self.end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal
        signal.signal(signal.SIGTERM, self.ask_to_stop)
        while self.clients or self.lifeline in self.selector.get_map():
            for key, _ in self.selector.select():
                arguments = key.data(key.fileobj)
                if arguments is not None:
                    return arguments
        return None

    def accept(self, listener: socket.socket) -> None:
        """A client has connected."""
        client, _ = listener.accept()
        self.selector.register(client, selectors.EVENT_READ, self.fork)

    def end(self, lifeline: int) -> None:
        """Who started the server is gone: end what it wanted."""
        self.selector.unregister(lifeline)
        self.selector.unregister(self.listener)
        self.listener.close()
        self.ask_to_stop()

    def ask_to_stop(self, *_: object) -> None:
        """Ask every forked process to."""
        for process in self.clients:
            os.kill(process, signal.SIGTERM)

    def fork(self, client: socket.socket) -> list[str] | None:
        """Start what a client asks for; in the new process its arguments."""
        self.selector.unregister(client)
        message, streams, _, _ = socket.recv_fds(client, REQUEST, STREAMS)
        if len(streams) < STREAMS:  # it has gone
            client.close()
            return None
        request = json.loads(message)
        for module in IMPORTED[request["arguments"][0]]:
            with contextlib.suppress(ImportError):  # the step will say so
                import_module(module)
        with warnings.catch_warnings():
            # Of threads: numpy's OpenBLAS ends its own before a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if not process:
            self.leave()
            become(request, streams)
            return request["arguments"]
        for stream in streams:
            os.close(stream)
        self.clients[process] = client
        self.selector.register(client, selectors.EVENT_READ, lambda _: self.pass_on(process))
        ended = os.pidfd_open(process)
        self.selector.register(ended, selectors.EVENT_READ, lambda _: self.tell(process, ended))
        return None

    def pass_on(self, process: int) -> None:
        """A client was asked to stop, or is gone: so is what it asked for."""
        client = self.clients.get(process)
        if client is None:  # that has just ended
            return
        message = b""
        with contextlib.suppress(ConnectionError):
            message = client.recv(len(STOP))
        if not message:
            self.selector.unregister(client)
        os.kill(process, signal.SIGTERM)

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


def become(request: dict, streams: list[int]) -> None:
    """Take over a client's standard streams, folder and environment."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_forked(arguments: list[str]) -> int | None:
    """Have a server run a command, if there is one and it knows the command; its exit status.

    Raises:
        SystemExit: the server has taken the command and is gone.
    """
    address = os.environ.pop(ADDRESS, None)
    if not address or not arguments or arguments[0] not in IMPORTED:
        return None
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    message = json.dumps(request).encode()
    if len(message) > REQUEST:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            server.connect(address)
            socket.send_fds(server, [message], range(STREAMS))
        except OSError:  # none listens
            return None

        def ask_to_stop(*_: object) -> None:
            with contextlib.suppress(OSError):  # it has ended
                server.send(STOP)

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the server
        signal.signal(signal.SIGTERM, ask_to_stop)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = server.recv(REQUEST)
    if not answer:
        sys.exit(f"error: what ran {arguments[0]} is gone\nremedy: start it again")
    status = int(answer)
    return status if status >= 0 else 128 - status


def main() -> None:
    """Serve at the socket of a number and a path, the arguments, until standard input is closed."""
    number, address = int(sys.argv[1]), Path(sys.argv[2])
    lifeline = os.dup(sys.stdin.fileno())
    arguments = Serving(socket.socket(fileno=number), lifeline).run()
    if arguments is None:
        address.unlink(missing_ok=True)
        address.parent.rmdir()
        return
    sys.argv = ["aebayes", *arguments]
    runpy.run_module("aebayes", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
