"""One process for each attempt, or for each slot of one, under a server that leaves nothing behind."""

import contextlib
import json
import os
import re
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from autoopt.devices import Cgroups
from autoopt.executors.attempts import Attempt
from autoopt.executors.base import Event, Executor, Job
from autoopt.executors.fleet import Fleet
from autoopt.executors.gangs import Gangs
from autoopt.executors.launchers import Launcher, default_launcher
from autoopt.executors.link import ServerLink
from autoopt.values import Slot

_UNWATCHED_S = 1.0  # time without a poll beyond this is not held against an attempt: the orchestrator was away


@final
class ProcessExecutor(Executor):
    """Runs attempts in processes of their own. For one thread at a time; events come only out of `poll`."""

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        launcher: Launcher | None = None,
        log_folder: Path | None = None,
        preload: Sequence[str] = (),
        warm: Sequence[str] = (),
        memory_bytes: int | None = None,
    ) -> None:
        """`preload` modules are imported before the first attempt, `warm` ones beside it.

        Attempts that run on one server may take `memory_bytes` together, by default all that the machine can spare:
        above that the one that holds most ends as out of memory.
        What attempts write to stdout and stderr goes to `<log_folder>/<token>.log`, by default to a temporary folder.
        """
        self._slots = tuple(slots)
        self._temporary = tempfile.TemporaryDirectory(prefix="autoopt-logs-") if log_folder is None else None
        self._logs = Path(self._temporary.name) if self._temporary else Path(log_folder or ".").absolute()
        self._selector = selectors.DefaultSelector()
        self._attempts: dict[str, Attempt] = {}
        self._events: list[Event] = []  # of single processes
        self._gangs = Gangs()
        self._groups = Cgroups()
        self._oom_kills = self._groups.oom_kills()
        self._polled_s = time.monotonic()
        self._closed = False
        self._fleet = Fleet(
            selector=self._selector,
            fresh=(launcher or default_launcher()).fresh,
            preload=preload,
            warm=warm,
            threads=max((slot.threads for slot in self._slots), default=1),
            memory_bytes=memory_bytes,
            log=self._logs / "workers.log",
        )

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    def start(self) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._fleet.serving()

    def submit(self, job: Job) -> None:
        self._check(job)
        self.start()
        self._oom_kills = self._groups.oom_kills()
        for rank in self._gangs.ranks(job):
            self._launch(rank)
        self._fleet.warm_up()

    def _launch(self, job: Job) -> None:
        log = self._logs / f"{re.sub(r'[^A-Za-z0-9._-]', '_', job.token)}.log"
        pipe, their_pipe = os.pipe()
        os.set_blocking(pipe, False)
        job_file = _job_file(job)
        try:
            request = {"run": job.token, "log": str(log), "threads": job.slot.threads}
            link = self._send_to_server(request, (job_file, their_pipe))
        finally:
            os.close(job_file)
            os.close(their_pipe)
        attempt = Attempt(job, link, pipe, log, now_s=time.monotonic())
        self._attempts[job.token] = attempt
        self._selector.register(pipe, selectors.EVENT_READ, attempt)

    def _check(self, job: Job) -> None:
        if self._closed:
            raise ValueError("the executor is closed")
        taken = [a.job.slot for a in self._attempts.values()]
        for slot in (job.slot, *job.peers):
            if slot not in self._slots:
                raise ValueError(f"slot {slot.index} is not one of this executor's")
            if job.token in self._attempts or slot in taken:
                raise ValueError(f"slot {slot.index} or token {job.token!r} is taken")
            taken.append(slot)

    def _send_to_server(self, request: Mapping[str, Any], handles: Sequence[int]) -> ServerLink:
        link = self._fleet.serving()
        if not link.send(request, handles):
            link.kill(blamed=False)
            self._lose(link)
            link = self._fleet.serving()
            link.send(request, handles)  # if this one dies too, that is noticed as any death is
        return link

    def poll(self, timeout_s: float) -> list[Event]:
        now_s = time.monotonic()
        end_s = now_s + timeout_s
        for attempt in self._attempts.values():
            attempt.forgive(since_s=self._polled_s + _UNWATCHED_S, now_s=now_s)
        while True:
            self._turn(min(end_s, self._gangs.until_s))
            self._polled_s = time.monotonic()
            events, self._events = self._events, []
            told = self._gangs.sift(events, self._polled_s)
            for token in self._gangs.due(self._polled_s):
                self._kill(token)
            if told or self._polled_s >= end_s:
                return told

    def _turn(self, end_s: float) -> None:
        """Wait for the first of: an event, an answer, a deadline, `end_s`; and act on it."""
        until_s = min((end_s, *(a.deadline_s for a in self._attempts.values())))
        for key, _ in self._selector.select(max(0.0, until_s - time.monotonic())):
            if isinstance(key.data, Attempt):
                self._read(key.data)
            else:
                self._listen(key.data)
        now_s = time.monotonic()
        for attempt in [a for a in self._attempts.values() if a.deadline_s <= now_s]:
            number = attempt.escalate(now_s)
            if number is None:
                attempt.link.kill(blamed=not attempt.cancelled)
            else:
                attempt.link.send({"signal": attempt.job.token, "number": number})

    def _read(self, attempt: Attempt) -> None:
        if attempt.job.token not in self._attempts:
            return  # ended earlier in this turn
        self._events += attempt.read(time.monotonic())
        if attempt.pipe_ended:
            self._selector.unregister(attempt.pipe)

    def _listen(self, link: ServerLink) -> None:
        if link.fileno() < 0:
            return  # closed earlier in this turn
        answers = link.answers()
        if answers is None:
            self._lose(link)
            return
        for answer in answers:
            if "ready" in answer:
                self._fleet.ready(link)
            else:
                attempt = self._attempts[answer["exit"]]
                self._end(
                    attempt,
                    status=answer["status"],
                    cause=answer.get("error", ""),
                    memory=answer.get("memory", ""),
                )
        self._fleet.release([a.link for a in self._attempts.values()])

    def _lose(self, link: ServerLink) -> None:
        """A server is gone, and with it whatever it had started."""
        cause = f"the process that starts workers {self._fleet.lost(link)}"
        for attempt in [a for a in self._attempts.values() if a.link is link]:
            self._end(attempt, status=None, cause=cause)

    def _end(self, attempt: Attempt, *, status: int | None, cause: str, memory: str = "") -> None:
        self._events += attempt.read(time.monotonic())
        oom_kills = self._groups.oom_kills()
        oom_killed = oom_kills > self._oom_kills
        self._events.append(attempt.ending(status=status, cause=cause, memory=memory, oom_killed=oom_killed))
        self._oom_kills = oom_kills
        self._forget(attempt)

    def _forget(self, attempt: Attempt) -> None:
        with contextlib.suppress(KeyError):  # its pipe may have ended before
            self._selector.unregister(attempt.pipe)
        os.close(attempt.pipe)
        attempt.drop_empty_log()
        del self._attempts[attempt.job.token]

    def cancel(self, token: str) -> None:
        for rank in self._gangs.cancel(token):
            self._kill(rank)

    def _kill(self, token: str) -> None:
        attempt = self._attempts.get(token)
        if attempt is not None and not attempt.cancelled:
            attempt.cancelled = True
            attempt.kill(time.monotonic())
            attempt.link.send({"signal": token, "number": signal.SIGKILL})

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._fleet.close()
        for attempt in list(self._attempts.values()):
            self._forget(attempt)
        self._events.clear()
        self._gangs.close()
        self._selector.close()
        if self._temporary is not None:
            self._temporary.cleanup()


def _job_file(job: Job) -> int:
    """The job as JSON in a file of no name: of any size, where a socket would fill up."""
    text = json.dumps({"entry": job.entry, "payload": dict(job.payload), "slot": job.slot.to_json()}).encode()
    if sys.platform == "linux":
        handle = os.memfd_create("autoopt-job")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    with open(handle, "wb", closefd=False) as file:
        file.write(text)
    return handle
