"""Carries outbox rows from the ledger to the deliverer and its acknowledgements back, without ever waiting."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from autoopt.ledger import OutboxRow

MAX_IN_FLIGHT = 64
POLL_S = 0.5
MAX_STARTS = 3
STOP_GRACE_S = 0.5


class OutboxWriter(Protocol):
    """The two things that delivery needs of the ledger."""

    def pending_outbox(self, limit: int) -> list[OutboxRow]: ...

    def mark_delivered(self, ids: Collection[int]) -> None: ...


class TrackingOutbox:
    """Feeds one deliverer process. Rows stay in the ledger until acknowledged; the next session sends what is left."""

    def __init__(self, tracking_uri: str, *, artifact_folder: Path, log_path: Path) -> None:
        self._command = [
            sys.executable,
            "-m",
            "autoopt.tracking.deliverer",
            tracking_uri,
            str(artifact_folder),
        ]
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._in_flight: set[int] = set()
        self._to_send = b""
        self._received = b""
        self._polled = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pump(self, writer: OutboxWriter) -> None:
        """Note what was delivered and hand over what is pending; returns at once whatever the deliverer does."""
        self._note_acknowledged(writer)
        now = time.monotonic()
        if now - self._polled >= POLL_S:
            self._polled = now
            self._queue(writer.pending_outbox(MAX_IN_FLIGHT), even_without_trials=False)
        self._send()

    def drain(self, writer: OutboxWriter, until_s: float) -> int:
        """Pump until nothing is pending or `until_s` seconds have passed; returns how many rows are left."""
        end = time.monotonic() + until_s
        while True:
            self._note_acknowledged(writer)
            pending = writer.pending_outbox(MAX_IN_FLIGHT)
            self._queue(pending, even_without_trials=True)
            self._send()
            gave_up = self._process is None and self._starts >= MAX_STARTS
            if not pending or gave_up or time.monotonic() >= end:
                return len(pending)
            time.sleep(0.05)

    def close(self) -> None:
        """End the deliverer; what it had not acknowledged stays in the ledger. May be called twice."""
        process, self._process = self._process, None
        self._in_flight.clear()
        self._to_send = b""
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(timeout=STOP_GRACE_S)
                break
            except (subprocess.TimeoutExpired, ProcessLookupError):
                continue
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _queue(self, rows: Sequence[OutboxRow], *, even_without_trials: bool) -> None:
        new = [r for r in rows if r.id not in self._in_flight][: MAX_IN_FLIGHT - len(self._in_flight)]
        if not new or not self._running(worth=even_without_trials or any(r.payload["kind"] != "study" for r in new)):
            return
        for row in new:
            self._in_flight.add(row.id)
            self._to_send += json.dumps({"id": row.id, "payload": row.payload}).encode() + b"\n"

    def _running(self, *, worth: bool) -> bool:
        """Whether a deliverer is there, starting one when it is worth it: not before the first trial has ended."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None and worth and self._starts < MAX_STARTS:
            self._start()
        return self._process is not None

    def _start(self) -> None:
        self._starts += 1
        self._received = b""
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)

    def _send(self) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            while self._to_send:
                self._to_send = self._to_send[os.write(self._process.stdin.fileno(), self._to_send[:65536]) :]
        except BlockingIOError:
            return  # the pipe is full: the rest goes with the next pump
        except BrokenPipeError:
            self.close()

    def _note_acknowledged(self, writer: OutboxWriter) -> None:
        if self._process is None or self._process.stdout is None:
            return
        try:
            while chunk := os.read(self._process.stdout.fileno(), 65536):
                self._received += chunk
        except BlockingIOError:
            pass  # nothing more for now
        *lines, self._received = self._received.split(b"\n")
        delivered = {int(json.loads(line)["done"]) for line in lines if line}
        if delivered:
            writer.mark_delivered(delivered)
            self._in_flight -= delivered
