"""Seconds of a study's budget: counted while its owner lives, written to the ledger as they pass."""

import time
from typing import Protocol


class SpentWriter(Protocol):
    """The one thing the clock needs of the ledger."""

    def add_spent(self, seconds: float) -> None: ...


class BudgetClock:
    """Counts from `started` (time.monotonic of the command's start) and books whole steps to the ledger.

    What was spent before this session is `before_s`; a kill loses at most one step.
    """

    STEP_S = 1.0

    def __init__(self, *, started: float, before_s: float, budget_s: float | None) -> None:
        self._started = started
        self._booked_s = 0.0
        self.before_s = before_s
        self.budget_s = budget_s

    @property
    def session_s(self) -> float:
        """Seconds since this command started."""
        return time.monotonic() - self._started

    @property
    def spent_s(self) -> float:
        """Seconds of the study, earlier sessions included."""
        return self.before_s + self.session_s

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left; infinity without a budget."""
        return float("inf") if self.budget_s is None else self.budget_s - self.spent_s

    def book(self, writer: SpentWriter, *, now: bool = False) -> None:
        """Write the seconds since the last booking, once a step has passed or at once."""
        due = self.session_s - self._booked_s
        if due >= self.STEP_S or now:
            writer.add_spent(due)
            self._booked_s += due
