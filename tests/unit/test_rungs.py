"""Who is ended at a rung, and who never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.orchestrator.rungs import LEAST_OTHERS, RUNG_SHARES, Rungs
from autoopt.values import Objective

QUALITY = (Objective(measure="quality", direction="maximize"),)
THREE = (
    *QUALITY,
    Objective(measure="latency_ms", direction="minimize"),
    Objective(measure="size_bytes", direction="minimize"),
)


def reach(rungs: Rungs, number: int, step: int = 12, steps: int = 36, **known: float) -> str:
    return rungs.verdict(number, step=step, steps=steps, known=known)


def test_the_worse_half_ends_once_enough_came_as_far() -> None:
    rungs = Rungs(QUALITY)
    assert [reach(rungs, n, quality=0.5 + n / 10) for n in range(LEAST_OTHERS)] == [""] * LEAST_OTHERS
    assert "3 of the 3 others that came to step 12 of 36" in reach(rungs, 8, quality=0.1)
    assert reach(rungs, 9, quality=0.9) == ""


def test_errors_are_better_when_they_are_smaller() -> None:
    rungs = Rungs((Objective(measure="quality", direction="minimize"),))
    for number in range(3):
        reach(rungs, number, quality=1.0 + number)
    assert reach(rungs, 3, quality=0.5) == ""
    assert reach(rungs, 4, quality=9.0) != ""


def test_before_the_first_rung_and_after_the_last_step_nothing_ends() -> None:
    rungs = Rungs(QUALITY)
    for number in range(5):
        reach(rungs, number, quality=0.9)
    first = int(RUNG_SHARES[0] * 36)
    assert reach(rungs, 7, step=first - 1, quality=0.1) == ""
    assert reach(rungs, 7, step=36, quality=0.1) == ""


def test_a_trial_counts_once_at_a_rung() -> None:
    rungs = Rungs(QUALITY)
    for _ in range(5):
        assert reach(rungs, 1, quality=0.9) == ""
    assert reach(rungs, 2, quality=0.1) == ""  # only one other came here


def test_what_is_best_at_something_goes_on() -> None:
    rungs = Rungs(THREE)
    for number in range(4):
        reach(rungs, number, quality=0.8, latency_ms=1.0, size_bytes=4e6)
    assert reach(rungs, 5, quality=0.4, latency_ms=0.1, size_bytes=5e6) == ""
    assert reach(rungs, 6, quality=0.4, latency_ms=2.0, size_bytes=5e6) != ""


@pytest.mark.parametrize("known", [{}, {"latency_ms": 1.0}])
def test_without_a_quality_there_is_no_verdict(known: dict[str, float]) -> None:
    rungs = Rungs(THREE)
    for number in range(5):
        reach(rungs, number, quality=0.8, latency_ms=1.0)
    assert reach(rungs, 9, **known) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_best_so_far_never_ends(qualities: list[float]) -> None:
    rungs = Rungs(QUALITY)
    best = -1.0
    for number, quality in enumerate(qualities):
        told = reach(rungs, number, quality=quality)
        assert not (told and quality >= best)
        best = max(best, quality)
