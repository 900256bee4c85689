"""Seconds of a budget: booked in whole steps, kept over sessions."""

import time

from support_loop import SteppedClock

from autoopt.orchestrator import BudgetClock
from autoopt.orchestrator.clock import TRAINING_SHARE, training_least_share, training_limit_s


class Book:
    """Adds up what the clock books."""

    def __init__(self) -> None:
        self.entries: list[float] = []

    def add_spent(self, seconds: float) -> None:
        self.entries.append(seconds)


def test_seconds_are_booked_once_a_step_has_passed_and_never_twice() -> None:
    clock, book = SteppedClock(started=0.0, before_s=10.0, budget_s=60.0), Book()
    for now_s in (0.2, 0.9, 1.1, 1.5, 3.0):
        clock.now_s = now_s
        clock.book(book)
    assert book.entries == [1.1, 1.9]
    clock.now_s = 3.25
    clock.book(book, now=True)
    assert sum(book.entries) == 3.25


def test_what_is_left_counts_earlier_sessions() -> None:
    clock = SteppedClock(started=0.0, before_s=10.0, budget_s=60.0)
    clock.now_s = 5.0
    assert (clock.spent_s, clock.left_s) == (15.0, 45.0)


def test_without_a_budget_there_is_always_time() -> None:
    assert SteppedClock(started=0.0, before_s=10.0, budget_s=None).left_s == float("inf")


def test_a_session_counts_from_when_the_command_began() -> None:
    assert BudgetClock(started=time.monotonic() - 5.0, before_s=0.0, budget_s=None).session_s >= 5.0


def test_a_training_plans_for_a_share_of_the_search_and_for_its_end() -> None:
    assert training_limit_s(float("inf"), 5.0) is None
    assert training_limit_s(600.0, 0.0) == TRAINING_SHARE * 600
    late = training_limit_s(600.0, 500.0)
    assert late is not None
    assert 500 + late < 575  # what is left is for exporting and measuring it
    assert training_limit_s(600.0, 599.0) == 1.0


def test_only_late_trainings_are_given_up_where_few_of_their_epochs_fit() -> None:
    assert training_least_share(float("inf"), 5.0) == 0.0
    assert training_least_share(600.0, 0.0) == training_least_share(600.0, 300.0) == 0.0
    assert training_least_share(600.0, 500.0) > 0
    limit_s = training_limit_s(600.0, 500.0)
    assert limit_s is not None
    assert limit_s < 0.5 * TRAINING_SHARE * 600
