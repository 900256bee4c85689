"""The process between the orchestrator and its workers: forks one for each attempt, and outlives neither.

Run by `ServerLink`, never imported by the package's own modules. It does not use multiprocessing's fork server, which
imports the user's `__main__` again. Requests come over a socket as JSON lines:

    {"run": token, "log": path, "threads": n}  with two descriptors: the job as a JSON file, and the pipe for events
    {"signal": token, "number": n}  to the attempt's process group

and answers go back: {"ready": true}, {"exit": token, "status": wait status, "memory": why it was ended for its memory,
or ""}. When the socket ends, the orchestrator
is gone or wants no more: every attempt's group is killed and the server exits.

Fork is safe here because the server imports libraries and never runs them: no thread pool is at work.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, final

from autoopt.executors.attempt import NO_RESULT_EXIT_CODE, isolate, run_attempt
from autoopt.executors.calling import call_guarded
from autoopt.executors.kernel import adopt_orphans, child_pids, kill_group
from autoopt.executors.memory import CHECK_S, MemoryWatch
from autoopt.executors.threads import find_pools, thread_environment

_GROUP_END_S = 2.0
_READ_BYTES = 1 << 16
ATTEMPT_CODE = (
    "import json, sys; o = json.loads(sys.argv[1]); sys.path[:] = o['path']; "
    "from autoopt.executors.attempt import run_attempt; run_attempt(o['job'], o['events'])"
)


def serve(options: Mapping[str, Any]) -> NoReturn:
    """Import `options['modules']`, then serve until the socket `options['handle']` ends.

    With `options['fresh']`, each attempt gets a new interpreter in place of a copy of this one. `options['memory']` is
    what its attempts may take together, in bytes, or None.
    """
    control = socket.socket(fileno=options["handle"])
    control.set_inheritable(False)
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    with _exiting_with(control):
        for name in options["modules"]:
            _import(name)
    server = _Server(control, fresh=options["fresh"], watch=MemoryWatch(options["memory"]))
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page it looks at
    server.run()


def _import(name: str) -> None:
    """Import a module ahead. One that fails is told in the server's log; an attempt that needs it fails by itself."""

    def action() -> str:
        importlib.import_module(name)
        return ""

    ending = call_guarded(action)
    if ending.reason is not None:
        print(f"cannot import {name} ahead of use:\n{ending.detail}", file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def _exiting_with(control: socket.socket) -> Iterator[None]:
    """Exit as soon as the socket ends, also in the middle of an import that takes seconds."""

    def leave_if_over(number: int = 0, frame: FrameType | None = None) -> None:
        with contextlib.suppress(BlockingIOError):
            if not control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                os._exit(0)

    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    signal.signal(signal.SIGIO, leave_if_over)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    leave_if_over()
    yield
    fcntl.fcntl(control, fcntl.F_SETFL, flags)
    signal.signal(signal.SIGIO, signal.SIG_IGN)


@final
class _Server:
    def __init__(self, control: socket.socket, *, fresh: bool, watch: MemoryWatch) -> None:
        self._control = control
        self._fresh = fresh
        self._watch = watch
        self._ended: dict[int, str] = {}  # pid of an attempt that is being ended for its memory → why
        self._pools = find_pools()
        self._tokens: dict[int, str] = {}  # pid of each attempt → token
        self._handles: list[int] = []  # descriptors received, two for each request to come
        self._text = b""
        self._woken, self._waker = os.pipe()
        for handle in (self._woken, self._waker):
            os.set_blocking(handle, False)

    def run(self) -> NoReturn:
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # a handler, so that the wake-up pipe is written
        signal.signal(signal.SIGTERM, lambda number, frame: self._end_everything())
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._tell({"ready": True})
        while True:
            # Here and not in the orchestrator, which may be busy elsewhere for longer than memory lasts.
            timeout_s = CHECK_S if self._tokens else None
            readable, _, _ = select.select([self._control.fileno(), self._woken], [], [], timeout_s)
            self._look_at_memory()
            if self._woken in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, _READ_BYTES)
                self._reap()
            if self._control.fileno() in readable:
                for request in self._receive():
                    self._handle(request)

    def _look_at_memory(self) -> None:
        """End the attempt that takes too much; what it held is awaited before another is looked at."""
        found = None if self._ended else self._watch.verdict(self._tokens.keys())
        if found is not None:
            pid, why = found
            self._ended[pid] = why
            _signal_group(pid, signal.SIGKILL)

    def _receive(self) -> list[dict[str, Any]]:
        try:
            data, handles, _, _ = socket.recv_fds(self._control, _READ_BYTES, 16)
        except ConnectionError:
            data, handles = b"", []
        for handle in handles:
            os.set_inheritable(handle, False)
        self._handles += handles
        if not data:
            self._end_everything()
        *lines, self._text = (self._text + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _handle(self, request: Mapping[str, Any]) -> None:
        if "run" in request:
            job, events, *self._handles = self._handles
            self._fork(request, job, events)
            return
        for pid, token in self._tokens.items():
            if token == request["signal"]:
                _signal_group(pid, request["number"])

    def _fork(self, request: Mapping[str, Any], job: int, events: int) -> None:
        server_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(job)
            os.close(events)
            self._tell({"exit": request["run"], "status": None, "error": f"cannot start a process: {error}"})
            return
        if pid == 0:
            self._become_attempt(request, server_pid, job, events)
        os.close(job)
        os.close(events)
        self._tokens[pid] = request["run"]

    def _become_attempt(self, request: Mapping[str, Any], server_pid: int, job: int, events: int) -> NoReturn:
        def action() -> str:
            isolate(parent_pid=server_pid, log=Path(request["log"]))
            for handle in (self._control.detach(), self._woken, self._waker):
                os.close(handle)
            os.environ.update(thread_environment(request["threads"]))
            if self._fresh:
                _become_interpreter(job, events)
            run_attempt(job, events, self._pools)

        ending = call_guarded(action)
        os.write(2, ending.detail.encode(errors="replace"))
        os._exit(NO_RESULT_EXIT_CODE)

    def _reap(self) -> None:
        """Collect the dead; with an attempt's leader its whole group ends, and then the orchestrator is told."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            token = self._tokens.pop(pid, None)
            if token is not None:
                self._end_group(pid)
                self._tell({"exit": token, "status": status, "memory": self._ended.pop(pid, "")})

    def _end_group(self, leader_pid: int) -> None:
        """Kill what is left of a dead leader's group, and orphans that had left the group."""
        give_up = time.monotonic() + _GROUP_END_S
        while time.monotonic() < give_up:
            strays = [pid for pid in child_pids() if pid not in self._tokens]
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
            if not kill_group(leader_pid, signal.SIGKILL) and not strays:
                return
            time.sleep(0.001)

    def _end_everything(self) -> NoReturn:
        for pid in self._tokens:
            _signal_group(pid, signal.SIGKILL)
        leaders = list(self._tokens)
        self._tokens.clear()
        for pid in leaders:
            self._end_group(pid)
        os._exit(0)

    def _tell(self, answer: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # the end of the socket is noticed where it is read
            self._control.sendall(json.dumps(answer).encode() + b"\n")


def _signal_group(leader_pid: int, number: int) -> None:
    """Signal an attempt's group, or itself where it was forked just now and does not lead one yet."""
    if not kill_group(leader_pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader_pid, number)


def _become_interpreter(job: int, events: int) -> NoReturn:
    for handle in (job, events):
        os.set_inheritable(handle, True)
    options = json.dumps({"path": sys.path, "job": job, "events": events})
    os.execv(sys.executable, [sys.executable, "-P", "-c", ATTEMPT_CODE, options])
