"""Carries outbox rows from the ledger to the deliverer and its answers back, without ever waiting."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, final

from autoopt.ledger import OutboxRow
from autoopt.tracking.peer import Peer

MAX_IN_FLIGHT: Final = 32
POLL_S: Final = 0.5
MAX_STARTS: Final = 3
CRASHES_OF_A_ROW: Final = 2


class OutboxWriter(Protocol):
    """The two things that delivery needs of the ledger."""

    def pending_outbox(self, limit: int) -> list[OutboxRow]: ...

    def mark_delivered(self, ids: Collection[int]) -> None: ...


@final
class TrackingOutbox:
    """Feeds one deliverer process. Rows stay in the ledger until acknowledged; the next session sends what is left.

    A row that ends its deliverer twice, or that alone fails while others go through, is held back until the next
    session. A deliverer that has ended MAX_STARTS times is not started again in this session.
    """

    def __init__(self, tracking_uri: str, *, artifact_folder: Path, log_path: Path) -> None:
        self._command = [sys.executable, "-W", "ignore", "-m", "autoopt.tracking.deliverer", str(artifact_folder)]
        # Not an argument: the URI may hold a password, and arguments are for everybody to see.
        self._environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_REGISTRY_URI": tracking_uri}
        self._log_path = log_path
        self._peer: Peer | None = None
        self._starts = 0
        self._in_flight: set[int] = set()
        self._held: set[int] = set()
        self._tried = 0  # the row that the deliverer was last heard to try
        self._crashes: Counter[int] = Counter()
        self._poll_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pump(self, writer: OutboxWriter) -> None:
        """Note what was delivered and hand over what is pending; returns at once whatever the deliverer does."""
        heard = self._listen(writer)
        now = time.monotonic()
        if (heard or now >= self._poll_at) and len(self._in_flight) <= MAX_IN_FLIGHT // 2 and not self._gave_up:
            self._poll_at = now + POLL_S
            self._hand_over(self._pending(writer))
        if self._peer is not None:
            self._peer.send()

    def drain(self, writer: OutboxWriter, until_s: float) -> int:
        """Pump until nothing is pending that can be delivered now, or `until_s` seconds have passed.

        Returns how many rows are left, counting to 32. What is left over without a trial is left for later: it is
        not worth starting a deliverer for.
        """
        end = time.monotonic() + until_s
        while True:
            self._listen(writer)
            pending = self._pending(writer)
            self._hand_over(pending)
            if self._peer is not None:
                self._peer.send()
            if not pending or self._peer is None or time.monotonic() >= end:
                return len(pending)
            time.sleep(0.05)

    def close(self) -> None:
        """End the deliverer; what it had not acknowledged stays in the ledger. May be called twice."""
        peer, self._peer = self._peer, None
        self._in_flight.clear()
        if peer is not None:
            peer.end()

    @property
    def active(self) -> bool:
        """Whether a deliverer is at work."""
        return self._peer is not None

    @property
    def _gave_up(self) -> bool:
        return self._peer is None and self._starts >= MAX_STARTS

    def _pending(self, writer: OutboxWriter) -> list[OutboxRow]:
        rows = writer.pending_outbox(MAX_IN_FLIGHT + len(self._held))
        return [r for r in rows if r.id not in self._held]

    def _hand_over(self, rows: list[OutboxRow]) -> None:
        new = [r for r in rows if r.id not in self._in_flight][: MAX_IN_FLIGHT - len(self._in_flight)]
        # MLflow takes seconds to import and to make its database: not before the first trial has ended.
        if self._peer is None and self._starts < MAX_STARTS and any(r.payload["kind"] != "study" for r in new):
            self._start()
        if self._peer is None:
            return
        for row in new:
            self._in_flight.add(row.id)
            self._peer.queue(json.dumps({"id": row.id, "payload": row.payload}).encode())

    def _start(self) -> None:
        self._starts += 1
        try:
            self._peer = Peer.start(self._command, environment=self._environment, log_path=self._log_path)
        except OSError:
            self._peer = None  # no process or no log just now: counted as a start that failed

    def _listen(self, writer: OutboxWriter) -> bool:
        """Note what the deliverer says and whether it has ended; True when it said something."""
        if self._peer is None:
            return False
        ended = self._peer.ended()  # asked first: what it said before its end is then in the pipe
        answers = self._peer.answers()
        self._tried = next((number for word, number in reversed(answers) if word == "trying"), self._tried)
        delivered = {number for word, number in answers if word == "done"}
        self._held |= {number for word, number in answers if word == "held"}
        if delivered:
            writer.mark_delivered(delivered)
        self._in_flight -= delivered | self._held
        if ended:
            self._note_crash()
        return bool(answers)

    def _note_crash(self) -> None:
        """The row that was being delivered is suspect: it must not take every deliverer with it."""
        suspect = self._tried
        if suspect in self._in_flight:
            self._crashes[suspect] += 1
            if self._crashes[suspect] >= CRASHES_OF_A_ROW:
                self._held.add(suspect)
        self.close()


@final
class NoOutbox:
    """In TrackingOutbox's place where MLflow is told nothing: rows stay in the ledger, for a session that tells it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was begun."""

    def pump(self, writer: OutboxWriter) -> None:
        """Hand over nothing."""

    def drain(self, writer: OutboxWriter, until_s: float) -> int:
        """Nothing is waited for: 0."""
        return 0
