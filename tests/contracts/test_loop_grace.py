"""A search that has found nothing when its time is up goes on a little: without a trial there is nothing to export."""

from pathlib import Path

import pytest
from support_loop import DONE, NEVER, Ending, Script, Sessions, SteppedClock

from autoopt.orchestrator import StopReason

UNTIL_S, GRACE_S = 3.0, 4.0


def ended_at(sessions: Sessions, script: Script) -> float:
    """Session time at which a search with one second a poll ended."""
    clock = SteppedClock(started=0.0, before_s=0.0, budget_s=None)
    sessions.clock, sessions.grace_s = clock, GRACE_S
    executor = sessions.executor(script)
    executor.on_poll = lambda: setattr(clock, "now_s", clock.now_s + 1.0)
    assert sessions.run(executor, until_s=UNTIL_S) is StopReason.TIME
    return clock.now_s


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    found = Sessions(folder=tmp_path, planner="random")
    found.create()
    return found


def test_nothing_found_takes_the_whole_grace_and_no_more(sessions: Sessions) -> None:
    assert ended_at(sessions, lambda _, __: NEVER) == UNTIL_S + GRACE_S + 1.0  # one poll to end what runs
    assert sessions.states() == ["stopped"]


def test_the_first_result_ends_the_grace(sessions: Sessions) -> None:
    assert ended_at(sessions, lambda _, __: Ending(after_polls=5)) == 5.0
    assert sessions.states() == ["complete"]


def test_a_result_that_left_no_artifact_does_not(sessions: Sessions) -> None:
    first = Ending(after_polls=4, infeasible="latency_ms<=1")
    turns = iter([first])
    assert ended_at(sessions, lambda _, __: next(turns, NEVER)) == UNTIL_S + GRACE_S + 1.0
    assert sessions.states() == ["infeasible", "stopped"]


def test_something_found_in_time_leaves_the_reserve_alone(sessions: Sessions) -> None:
    turns = iter([DONE])
    assert ended_at(sessions, lambda _, __: next(turns, NEVER)) == UNTIL_S + 1.0


def test_something_found_by_an_earlier_session_counts(sessions: Sessions) -> None:
    turns = iter([DONE])
    ended_at(sessions, lambda _, __: next(turns, NEVER))
    assert ended_at(sessions, lambda _, __: NEVER) == UNTIL_S + 1.0
