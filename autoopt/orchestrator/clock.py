"""Seconds of a study's budget: counted while its owner lives, written to the ledger as they pass."""

import math
import time
from typing import Protocol

TRAINING_SHARE = 0.6
"""Of the search's whole time: the longest that one training may plan for, so that no single candidate eats it all."""
LATE_SHARE, LATE_S = 0.75, 6.0
"""Of the time that is left, and seconds less: what a training may plan for and still be exported and measured."""


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


def training_limit_s(search_until_s: float, session_s: float) -> float | None:
    """Seconds that a training which starts now may plan for; None where the search has no end in time."""
    if math.isinf(search_until_s):
        return None
    late_s = LATE_SHARE * (search_until_s - session_s) - LATE_S
    return max(1.0, min(TRAINING_SHARE * search_until_s, late_s))
