"""The jobs of a session's end, one after another on the first slot while the others are idle."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from autoopt.errors import StudyError
from autoopt.executors import Executor, Failed, Finished, Job
from autoopt.values import Slot

MAX_TRIES: Final = 3
"""How often a step of the export is tried when its process dies."""


class ExportStopped(Exception):
    """The user wants no export any more."""


@final
class Jobs:
    """Runs entry points and waits for them. `pump` is called while it waits, `stopping` tells of the user's Ctrl-C."""

    def __init__(self, executor: Executor, *, pump: Callable[[], None], stopping: Callable[[], bool]) -> None:
        self._executor = executor
        self._pump = pump
        self._stopping = stopping

    @property
    def slot(self) -> Slot:
        """Where they run."""
        return self._executor.slots[0]

    def run(self, entry: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A job's result; tried again when its process dies. Raises StudyError, ExportStopped."""
        ended = self.attempt(entry, payload)
        for _ in range(MAX_TRIES - 1):
            if isinstance(ended, Failed) and ended.reason.may_pass:
                ended = self.attempt(entry, payload)
        if isinstance(ended, Failed):
            raise StudyError(f"{entry.split(':')[-1]} failed ({ended.reason.value}): {ended.message}")
        return ended.result

    def attempt(self, entry: str, payload: Mapping[str, Any], *, seconds: float = float("inf")) -> Finished | Failed:
        """How a job ended; after `seconds` it is ended and comes as cancelled. Raises ExportStopped."""
        token = f"finish-{time.monotonic_ns()}"
        until = time.monotonic() + seconds
        self._executor.submit(Job(token=token, entry=entry, payload=payload, slot=self.slot, progress_deadline_s=600))
        while True:
            for event in self._executor.poll(0.2):
                if event.token == token and isinstance(event, Finished | Failed):
                    return event
            if self._stopping():
                self._executor.cancel(token)
                raise ExportStopped
            if time.monotonic() >= until:
                self._executor.cancel(token)  # its end comes as an event
            self._pump()
