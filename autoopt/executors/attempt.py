"""The worker's side of an attempt: cut off from the parent's session and screen, it runs an entry point and reports.

Events go through a pipe as JSON lines: {"kind": "started"}, then "progress", then one "finished" or "failed".
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, final

from autoopt.executors.calling import Ending, call_entry
from autoopt.executors.kernel import adopt_orphans, die_with_parent, offer_to_oom_killer
from autoopt.executors.threads import cap_threads
from autoopt.values import Slot

NO_RESULT_EXIT_CODE = 70
_RESET_SIGNALS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGIO)


def isolate(*, parent_pid: int, log: Path) -> None:
    """Own session and group, death with the parent, default signals, and nothing on the screen."""
    os.setsid()
    die_with_parent(parent_pid)
    adopt_orphans()  # so that what the parent adopts is known to come from attempts that are over
    offer_to_oom_killer()
    signal.set_wakeup_fd(-1)
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    except OSError:  # a full disk must not keep an attempt from running
        output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def run_attempt(job_handle: int, event_handle: int, pools: Any = None) -> NoReturn:
    """Read the job, run it, write how it ended, and leave without clean-up: threads of libraries may never end."""
    for handle in (job_handle, event_handle):
        os.set_inheritable(handle, False)
    with open(job_handle, "rb") as file:
        file.seek(0)
        job = json.load(file)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    faulthandler.enable(file=2)
    # Chained, because grandchildren inherit it: after the stacks are written, SIGTERM still ends the process.
    faulthandler.register(signal.SIGTERM, file=2, all_threads=True, chain=True)
    slot = Slot.from_json(job["slot"])
    events = EventWriter(event_handle)
    events.write({"kind": "started"})
    with cap_threads(slot.threads, pools):
        ending = call_entry(job["entry"], job["payload"], slot, events.report)
        events.end(ending)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


@final
class EventWriter:
    """Writes events to the pipe, whole lines at a time, from any thread."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()

    def report(self, stage: str, *, step: int | None = None, values: Mapping[str, float] | None = None) -> None:
        """A `Reporter`. NaN and infinity may pass: a curve shows them."""
        plain = {name: float(value) for name, value in (values or {}).items()}
        self.write({"kind": "progress", "stage": stage, "step": None if step is None else int(step), "values": plain})

    def end(self, ending: Ending) -> None:
        """The last event."""
        if ending.reason is None:
            self._write_line(f'{{"kind": "finished", "result": {ending.result_json}}}')
            return
        self.write(
            {"kind": "failed", "reason": ending.reason.value, "message": ending.message, "detail": ending.detail}
        )

    def write(self, event: Mapping[str, Any]) -> None:
        self._write_line(json.dumps(event))

    def _write_line(self, line: str) -> None:
        left = memoryview(f"{line}\n".encode())
        with self._lock:
            while left:
                left = left[os.write(self._handle, left) :]
