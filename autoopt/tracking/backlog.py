"""Which row is tried next, and what becomes of one that fails.

A server that is away delays every row and loses none. A row that fails alone is another matter: what MLflow refuses
for good is given up, and what fails for unknown reasons while others go through is held for the next session.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
TRIES_OF_A_REFUSED: Final = 3
"""More than one, because a run that was deleted meanwhile is looked up afresh the second time."""
STRIKES: Final = 5


class Refused(Exception):
    """MLflow will not take this payload."""


class Unreachable(Exception):
    """MLflow cannot be reached or written just now."""


@dataclass(kw_only=True)
class _Row:
    id: int
    payload: dict[str, Any]
    lane: str
    refusals: int = 0
    strikes: int = 0  # failures since which other rows went through
    failed_at: int | None = None  # how many rows had gone through when it last failed


@final
class Backlog:
    """Rows to deliver; those of one lane (a run, a registered model) stay in their order."""

    def __init__(self, deliver: Callable[[dict[str, Any]], None], answer: Callable[[str, int], object]) -> None:
        self._deliver = deliver
        self._answer = answer
        self._rows: list[_Row] = []
        self._held_lanes: set[str] = set()
        self._delivered = 0
        self._failures = 0  # in a row

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row_id: int, payload: dict[str, Any]) -> None:
        """Take a row on."""
        row = _Row(id=row_id, payload=payload, lane=payload.get("registered_name") or payload["uid"])
        if row.lane in self._held_lanes:
            self._answer("held", row_id)
        else:
            self._rows.append(row)

    def step(self) -> float:
        """Try the first row; returns how many seconds to wait before the next step."""
        row = self._rows[0]
        self._answer("trying", row.id)  # so that, should this process not survive it, the row is known
        try:
            self._deliver(row.payload)
        except Refused as error:
            return self._refused(row, error)
        except Unreachable as error:
            return self._unreachable(row, error)
        self._failures = 0
        self._delivered += 1
        self._done(row)
        return 0.0

    def _done(self, row: _Row) -> None:
        self._rows.remove(row)
        self._answer("done", row.id)

    def _refused(self, row: _Row, error: Refused) -> float:
        row.refusals += 1
        if row.refusals >= TRIES_OF_A_REFUSED:
            _complain("given up", row, error)
            self._done(row)
        else:
            self._to_the_back(row)
        return 0.0

    def _unreachable(self, row: _Row, error: Unreachable) -> float:
        if row.failed_at is not None and row.failed_at < self._delivered:
            row.strikes += 1
        row.failed_at = self._delivered
        if row.strikes >= STRIKES:
            _complain("held for the next session", row, error)
            self._hold(row)
            return 0.0
        _complain("not delivered yet", row, error)
        self._to_the_back(row)
        self._failures += 1
        return RETRY_S[min(self._failures, len(RETRY_S)) - 1]

    def _to_the_back(self, row: _Row) -> None:
        lane = row.lane
        self._rows = [r for r in self._rows if r.lane != lane] + [r for r in self._rows if r.lane == lane]

    def _hold(self, row: _Row) -> None:
        self._held_lanes.add(row.lane)
        for other in [r for r in self._rows if r.lane == row.lane]:
            self._rows.remove(other)
            self._answer("held", other.id)


def _complain(what: str, row: _Row, error: Exception) -> None:
    print(f"{what}: {row.payload['uid']}: {error}", file=sys.stderr, flush=True)  # noqa: T201
