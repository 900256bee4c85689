"""The orchestrator's record of a running attempt: its pipe, its deadline, and how it is judged when it ends."""

import contextlib
import json
import os
import signal
from enum import Enum
from pathlib import Path
from typing import Any, final

from autoopt.executors.base import Event, Failed, Finished, Job, Progress
from autoopt.executors.link import ServerLink, describe_exit
from autoopt.values import FailureReason

_START_ALLOWANCE_S = 60.0  # imports of the server may come first
_TERM_GRACE_S = 1.0
_KILL_GRACE_S = 5.0
_LINGER_GRACE_S = 2.0
_READ_BYTES = 1 << 18
_READS = 64
_DETAIL_BYTES = 8_000


class Phase(Enum):
    """What an attempt's deadline stands for."""

    RUNNING = "running"  # progress is due
    TERMINATING = "terminating"  # hung, told to write its stacks and end
    LEAVING = "leaving"  # its pipe has ended or its result is there: its exit is due
    KILLED = "killed"  # its exit is due, or the server does not do what it should


@final
class Attempt:
    """One attempt from submission to its ending."""

    def __init__(self, job: Job, link: ServerLink, pipe: int, log: Path, *, now_s: float) -> None:
        self.job = job
        self.link = link
        self.pipe = pipe
        self.pipe_ended = False
        self.log = log
        self.phase = Phase.RUNNING
        self.deadline_s = now_s + job.progress_deadline_s + _START_ALLOWANCE_S
        self.cancelled = False
        self._submitted_s = now_s
        self._hung = False
        self._final: Event | None = None
        self._chunks: list[bytes] = []

    def read(self, now_s: float) -> list[Event]:
        """Take what the pipe holds: progress to pass on; the final event is kept for `ending`."""
        events: list[Event] = []
        for _ in range(_READS):  # bounded: an attempt that never stops talking must not keep the others waiting
            if self.pipe_ended:
                break
            try:
                data = os.read(self.pipe, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.pipe_ended = True
                self._leave(now_s)
                break
            self._chunks.append(data)
            if b"\n" in data:
                *lines, rest = b"".join(self._chunks).split(b"\n")
                self._chunks = [rest]
                events += [e for e in map(self._event, lines) if e is not None]
            if self.phase is Phase.RUNNING:
                self.deadline_s = now_s + self.job.progress_deadline_s
        if self._final is not None:
            self._leave(now_s)
        return events

    def _event(self, line: bytes) -> Progress | None:
        if self._final is not None:
            return None
        try:
            raw: dict[str, Any] = json.loads(line)
        except ValueError:  # torn by a death
            return None
        token, kind = self.job.token, raw["kind"]
        if kind == "progress":
            return Progress(token=token, stage=raw["stage"], step=raw["step"], values=raw["values"])
        if kind == "finished":
            self._final = Finished(token=token, result=raw["result"])
        elif kind == "failed":
            reason = FailureReason(raw["reason"])
            self._final = Failed(token=token, reason=reason, message=raw["message"], detail=raw["detail"])
        return None

    def forgive(self, *, since_s: float, now_s: float) -> None:
        """Nobody was looking in between: that does not count as time without progress."""
        if self.phase is Phase.RUNNING:
            self.deadline_s += max(0.0, now_s - max(since_s, self._submitted_s))

    def _leave(self, now_s: float) -> None:
        if self.phase is Phase.RUNNING:
            self.phase, self.deadline_s = Phase.LEAVING, now_s + _LINGER_GRACE_S

    def escalate(self, now_s: float) -> int | None:
        """The deadline has passed: the signal to send to the group; None when the server itself must go."""
        if self.phase is Phase.RUNNING:
            self._hung = True
            self.phase, self.deadline_s = Phase.TERMINATING, now_s + _TERM_GRACE_S
            return signal.SIGTERM
        if self.phase is Phase.KILLED:
            self.deadline_s = now_s + _KILL_GRACE_S
            return None
        self.kill(now_s)
        return signal.SIGKILL

    def kill(self, now_s: float) -> None:
        """The group is being killed."""
        self.phase, self.deadline_s = Phase.KILLED, now_s + _KILL_GRACE_S

    def ending(self, *, status: int | None, cause: str = "", memory: str = "", oom_killed: bool) -> Event:
        """The one ending. A result that came in time wins over whatever happened after it.

        `status` is the wait status of the process, None when it is not known: then `cause` says what happened.
        `memory` says why it was ended for its memory, if it was.
        """
        if self._final is not None:
            return self._told_of_memory(self._final) if oom_killed else self._final
        token = self.job.token
        if self.cancelled:
            reason, message = FailureReason.ERROR, "cancelled"
            return Failed(token=token, reason=reason, message=message, detail=self.log_end(), cancelled=True)
        reason, message = (FailureReason.OUT_OF_MEMORY, memory) if memory else self._judge(status, cause, oom_killed)
        return Failed(token=token, reason=reason, message=message, detail=self.log_end())

    def _judge(self, status: int | None, cause: str, oom_killed: bool) -> tuple[FailureReason, str]:
        if self._hung:
            return FailureReason.HUNG, f"no progress for {self.job.progress_deadline_s:g} s"
        if status is None:
            return FailureReason.CRASHED, cause
        if self.phase is Phase.KILLED:
            return FailureReason.CRASHED, "the worker closed its pipe without a result"
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if signalled == signal.SIGKILL and oom_killed:
            return FailureReason.OUT_OF_MEMORY, "the system ran out of memory and killed the worker"
        if signalled == signal.SIGABRT and "std::bad_alloc" in self.log_end():
            return FailureReason.OUT_OF_MEMORY, "a library ran out of memory (std::bad_alloc)"
        return FailureReason.CRASHED, f"the worker {describe_exit(status)}"

    @staticmethod
    def _told_of_memory(final: Event) -> Event:
        """A helper process of the attempt, such as a data loader's, can be what the kernel killed for memory."""
        if isinstance(final, Failed) and final.reason is FailureReason.ERROR and "signal: Killed" in final.message:
            return Failed(
                token=final.token,
                reason=FailureReason.OUT_OF_MEMORY,
                message=final.message,
                detail=final.detail,
            )
        return final

    def log_end(self) -> str:
        """The end of what the attempt wrote to stdout and stderr."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _DETAIL_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def drop_empty_log(self) -> None:
        """Keep only logs that say something."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()
