"""The orchestrator's end of a server that starts attempts (see forkserver.py for what is said over the socket)."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from autoopt.executors.kernel import SERVER_MARK, kill_marked
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

    def __init__(
        self, *, modules: Sequence[str], fresh: bool, threads: int, memory_bytes: int | None, log: Path
    ) -> None:
        """Start the server and return at once; it imports `modules` while requests wait in the socket."""
        self.modules = tuple(modules)
        self.ready = False
        self._blamed = True
        self._mark = secrets.token_hex(8)
        self._text = b""
        self._socket, theirs = socket.socketpair()
        # -P: a json.py in the user's folder must not be what the server imports before it has its path.
        options = {
            "handle": theirs.fileno(),
            "modules": self.modules,
            "fresh": fresh,
            "memory": memory_bytes,
            "path": _import_path(),
        }
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _SERVER_CODE, json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                env={**_environment(threads), SERVER_MARK: self._mark},
                start_new_session=True,  # Ctrl-C at the terminal is the orchestrator's to handle
            )
        self._socket.settimeout(_SEND_TIMEOUT_S)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

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

    def kill(self, *, blamed: bool) -> None:
        """End a server; its socket then ends. `blamed`: it did not do what it should."""
        self._blamed = blamed
        self._process.kill()

    @property
    def may_serve_again(self) -> bool:
        """True unless its imports are what ended it, as far as one can tell."""
        return self.ready or not self._blamed

    def clean_up(self) -> str:
        """The server is gone: end what it left behind. Returns how it ended: 'was killed by SIGKILL'."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_S)
        self.close()
        code = self._process.returncode
        return describe_exit(-code if code < 0 else code << 8)

    def hang_up(self) -> None:
        """Ask the server to end its attempts and exit, without waiting for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and wait. A server that was killed, now or before, has left its attempts: they are ended here."""
        self.hang_up()
        self._socket.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        give_up_s = time.monotonic() + _EXIT_TIMEOUT_S
        while self._process.returncode != 0 and kill_marked(self._mark) and time.monotonic() < give_up_s:
            time.sleep(0.005)


def describe_exit(status: int) -> str:
    """A wait status in words: 'exited with code 1', 'was killed by SIGKILL'."""
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    known = number in set(signal.Signals)
    return f"was killed by {signal.Signals(number).name if known else f'signal {number}'}"


def _import_path() -> list[str]:
    """This process's own, so that what can be imported here can be imported there; '' made a folder."""
    return [os.path.abspath(entry) if entry == "" else entry for entry in sys.path]  # noqa: PTH100


def _environment(threads: int) -> dict[str, str]:
    quiet = {"TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **thread_environment(threads), **quiet}
