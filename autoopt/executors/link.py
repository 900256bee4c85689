"""The orchestrator's end of a server that starts attempts (see forkserver.py for what is said over the socket)."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from autoopt.executors.threads import thread_environment

_SEND_TIMEOUT_S = 5.0
_EXIT_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 16
_SERVER_CODE = (
    "import json, sys; o = json.loads(sys.argv[1]); sys.path[:] = o['path']; "
    "from autoopt.executors.forkserver import serve; serve(o)"
)


@final
class ServerLink:
    """A running server: requests go in, answers come out. Not shared between threads."""

    def __init__(self, *, modules: Sequence[str], fresh: bool, threads: int, log: Path) -> None:
        """Start the server and return at once; it imports `modules` while requests wait in the socket."""
        self.modules = tuple(modules)
        self.ready = False
        self._text = b""
        self._socket, theirs = socket.socketpair()
        # -P: a json.py in the user's folder must not be what the server imports before it has its path.
        options = {"handle": theirs.fileno(), "modules": self.modules, "fresh": fresh, "path": _import_path()}
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _SERVER_CODE, json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                env=_environment(threads),
                start_new_session=True,  # Ctrl-C at the terminal is the orchestrator's to handle
            )
        self._socket.settimeout(_SEND_TIMEOUT_S)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Mapping[str, Any], handles: Sequence[int] = ()) -> bool:
        """Pass a request and descriptors on; False when the server is dead or stuck."""
        line = json.dumps(request).encode() + b"\n"
        try:
            if handles:
                return socket.send_fds(self._socket, [line], handles) == len(line)
            self._socket.sendall(line)
        except OSError:
            return False
        return True

    def answers(self) -> list[dict[str, Any]] | None:
        """What the server said; None when it is gone. Call it when the socket is readable."""
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._text = (self._text + data).split(b"\n")
        answers = [json.loads(line) for line in lines]
        self.ready = self.ready or any("ready" in answer for answer in answers)
        return answers

    def kill(self) -> None:
        """End a server that does not answer; its socket then ends."""
        self._process.kill()

    def how_it_ended(self) -> str:
        """'killed by SIGKILL', 'exited with code 1'."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_S)
        code = self._process.poll()
        return describe_exit(-code if code is not None and code < 0 else (code or 0) << 8)

    def hang_up(self) -> None:
        """Ask the server to end its attempts and exit, without waiting for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> bool:
        """Hang up and wait; False when the server had to be killed."""
        self.hang_up()
        self._socket.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True


def describe_exit(status: int) -> str:
    """A wait status in words."""
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    known = number in set(signal.Signals)
    return f"killed by {signal.Signals(number).name if known else f'signal {number}'}"


def _import_path() -> list[str]:
    """This process's own, so that what can be imported here can be imported there; '' made a folder."""
    return [os.path.abspath(entry) if entry == "" else entry for entry in sys.path]  # noqa: PTH100


def _environment(threads: int) -> dict[str, str]:
    quiet = {"TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **thread_environment(threads), **quiet}
