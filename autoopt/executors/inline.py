"""Runs attempts in this process, for debugging: breakpoints work, nothing is isolated, nothing is hidden."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import final

from autoopt.executors.base import Event, Executor, Failed, Finished, Job, Progress
from autoopt.executors.calling import call_entry
from autoopt.executors.threads import cap_threads
from autoopt.values import FailureReason, Slot


@final
class InlineExecutor(Executor):
    """`poll` runs one submitted job to its end. Ctrl-C and a debugger's quit go through."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = tuple(slots)
        self._waiting: dict[str, Job] = {}
        self._events: list[Event] = []

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    def start(self) -> None:
        """Nothing to get ready."""

    def submit(self, job: Job) -> None:
        if job.slot not in self._slots:
            raise ValueError(f"slot {job.slot.index} is not one of this executor's")
        if job.peers:
            raise ValueError(f"a gang of {1 + len(job.peers)} needs a process for each, and --inline has only its own")
        if job.token in self._waiting or any(job.slot == other.slot for other in self._waiting.values()):
            raise ValueError(f"slot {job.slot.index} or token {job.token!r} is taken")
        json.dumps(job.payload)  # what cannot reach a worker must not pass here either
        self._waiting[job.token] = job

    def poll(self, timeout_s: float) -> list[Event]:
        if not self._waiting and not self._events:
            time.sleep(max(0.0, timeout_s))
        for token in list(self._waiting)[:1]:
            job = self._waiting[token]
            try:
                ending = self._run(job)
            finally:
                del self._waiting[token]
            self._events.append(ending)
        events, self._events = self._events, []
        return events

    def _run(self, job: Job) -> Event:
        def report(stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None:
            plain = {name: float(value) for name, value in (values or {}).items()}
            self._events.append(Progress(token=job.token, stage=stage, step=step, values=plain))

        payload = json.loads(json.dumps(job.payload))
        with cap_threads(job.slot.threads):
            ending = call_entry(job.entry, payload, job.slot, report, escaping=(KeyboardInterrupt,))
        if ending.reason is None:
            return Finished(token=job.token, result=json.loads(ending.result_json))
        return Failed(token=job.token, reason=ending.reason, message=ending.message, detail=ending.detail)

    def cancel(self, token: str) -> None:
        if self._waiting.pop(token, None) is not None:
            self._events.append(Failed(token=token, reason=FailureReason.ERROR, message="cancelled", cancelled=True))

    def close(self) -> None:
        self._waiting.clear()
        self._events.clear()
