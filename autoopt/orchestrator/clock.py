"""Seconds of a study's budget: counted while its owner lives, written to the ledger as they pass."""

import math
import time
from typing import Protocol

TRAINING_SHARE = 0.6
"""Of the search's whole time: the longest that one training may plan for, so that no single candidate eats it all."""
LATE_SHARE, LATE_S = 0.75, 6.0
"""Of the time that is left, and seconds less: what a training may plan for and still be exported and measured."""

LATE_LEAST_SHARE = 0.25
"""Of its epochs: a training that begins late, and for which fewer fit, is left to a resume."""


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
    return max(1.0, min(TRAINING_SHARE * search_until_s, _late_s(search_until_s, session_s)))


def training_least_share(search_until_s: float, session_s: float) -> float:
    """The share of a training's epochs that must fit into its limit for it to be begun.

    Late in a search, what is cut to a few of its epochs would only be a bad figure for a good recipe: it misleads
    whoever chooses the next, and a resume with more time would not try it again.
    """
    late = not math.isinf(search_until_s) and _late_s(search_until_s, session_s) < TRAINING_SHARE * search_until_s / 2
    return LATE_LEAST_SHARE if late else 0.0


def _late_s(search_until_s: float, session_s: float) -> float:
    """Of the time that is left, what a training may take."""
    return LATE_SHARE * (search_until_s - session_s) - LATE_S
