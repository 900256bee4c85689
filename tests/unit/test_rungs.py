"""Who is ended at a rung, and who never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoopt.ledger import RungRow
from autoopt.orchestrator.rungs import RUNGS, Rungs
from autoopt.space.recipe import Recipe
from autoopt.values import Objective

QUALITY = (Objective(measure="quality", direction="maximize"),)
THREE = (
    *QUALITY,
    Objective(measure="latency_ms", direction="minimize"),
    Objective(measure="size_bytes", direction="minimize"),
)
EARLY, LATE = RUNGS
LEAST_OTHERS, RUNG_SHARES = LATE.least_others, [rung.share for rung in RUNGS]


class Kept:
    """A writer that keeps its marks in memory."""

    def __init__(self) -> None:
        self.rungs: list[RungRow] = []

    def record_rung(self, rung: RungRow) -> None:
        self.rungs.append(rung)


def rungs_of(objectives: tuple[Objective, ...]) -> Rungs:
    return Rungs(objectives, Kept())


def recipe(number: int, **deployed: str) -> Recipe:
    return Recipe({"model": "residual_net", "residual_net.width": 8 + number, **deployed})


def reach(rungs: Rungs, number: int, step: int = 12, steps: int = 36, **known: float) -> str:
    return rungs.verdict(number, recipe(number), step=step, steps=steps, known=known)


def test_the_worse_half_ends_once_enough_came_as_far() -> None:
    rungs = rungs_of(QUALITY)
    assert [reach(rungs, n, quality=0.5 + n / 10) for n in range(LEAST_OTHERS)] == [""] * LEAST_OTHERS
    assert "3 of the 3 others that came to step 12 of 36" in reach(rungs, 8, quality=0.1)
    assert reach(rungs, 9, quality=0.9) == ""


def test_errors_are_better_when_they_are_smaller() -> None:
    rungs = rungs_of((Objective(measure="quality", direction="minimize"),))
    for number in range(3):
        reach(rungs, number, quality=1.0 + number)
    assert reach(rungs, 3, quality=0.5) == ""
    assert reach(rungs, 4, quality=9.0) != ""


def test_before_the_first_rung_and_after_the_last_step_nothing_ends() -> None:
    rungs = rungs_of(QUALITY)
    for number in range(9):
        reach(rungs, number, quality=0.9)
    first = int(RUNG_SHARES[0] * 36)
    assert reach(rungs, 7, step=first - 1, quality=0.1) == ""
    assert reach(rungs, 7, step=36, quality=0.1) == ""


def test_early_it_takes_more_others_and_more_of_them_better() -> None:
    rungs = rungs_of(QUALITY)
    for number in range(EARLY.least_others - 1):
        assert reach(rungs, number, step=4, quality=0.5 + number / 100) == ""
    assert reach(rungs, 20, step=4, quality=0.51) == "", "one too few came as far"
    assert reach(rungs, 21, step=4, quality=0.515) == "", "5 of 8 were better"
    assert "8 of the 9 others that came to step 4 of 36" in reach(rungs, 22, step=4, quality=0.505)


def test_a_trial_counts_once_at_a_rung() -> None:
    rungs = rungs_of(QUALITY)
    for _ in range(5):
        assert reach(rungs, 1, quality=0.9) == ""
    assert reach(rungs, 2, quality=0.1) == ""  # only one other came here


def test_what_is_best_at_something_goes_on() -> None:
    rungs = rungs_of(THREE)
    for number in range(4):
        reach(rungs, number, quality=0.8, latency_ms=1.0, size_bytes=4e6)
    assert reach(rungs, 5, quality=0.4, latency_ms=0.1, size_bytes=5e6) == ""
    assert reach(rungs, 6, quality=0.4, latency_ms=2.0, size_bytes=5e6) != ""


@pytest.mark.parametrize("known", [{}, {"latency_ms": 1.0}])
def test_without_a_quality_there_is_no_verdict(known: dict[str, float]) -> None:
    rungs = rungs_of(THREE)
    for number in range(5):
        reach(rungs, number, quality=0.8, latency_ms=1.0)
    assert reach(rungs, 9, **known) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_best_so_far_never_ends(qualities: list[float]) -> None:
    rungs = rungs_of(QUALITY)
    best = -1.0
    for number, quality in enumerate(qualities):
        told = reach(rungs, number, quality=quality)
        assert not (told and quality >= best)
        best = max(best, quality)


def test_marks_of_earlier_sessions_count_and_are_written_once() -> None:
    first = Kept()
    rungs = Rungs(THREE, first)
    for number in range(LEAST_OTHERS):
        for step in (12, 13):
            reach(rungs, number, step, quality=0.8, latency_ms=1.0, loss=3.0)
    assert {(r.number, r.share) for r in first.rungs} == {(n, s) for n in range(LEAST_OTHERS) for s in RUNG_SHARES}
    assert len(first.rungs) == LEAST_OTHERS * len(RUNG_SHARES)
    assert first.rungs[0].known == {"quality": 0.8, "latency_ms": 1.0}
    later = Rungs(THREE, Kept())
    later.reload(first.rungs, {n: recipe(n) for n in range(LEAST_OTHERS)})
    assert "3 of the 3 others" in reach(later, 8, quality=0.1, latency_ms=2.0)
    assert reach(later, 9, quality=0.9, latency_ms=2.0) == ""


def test_a_training_is_not_compared_with_itself() -> None:
    """One that was stopped goes on under another number; one that is deployed in two ways has two."""
    kept = Kept()
    rungs = Rungs(QUALITY, kept)
    marks = [RungRow(number=n, share=share, known={"quality": 0.5}) for n in range(3) for share in RUNG_SHARES]
    rungs.reload(marks, {n: recipe(n) for n in range(3)})
    assert rungs.verdict(7, recipe(2, quantize="static_int8"), step=12, steps=36, known={"quality": 0.1}) == ""
    assert kept.rungs == []  # its mark is there
    assert "3 of the 3 others" in rungs.verdict(8, recipe(8), step=12, steps=36, known={"quality": 0.1})


@pytest.mark.parametrize("quality", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_mark(quality: float) -> None:
    kept = Kept()
    assert reach(Rungs(QUALITY, kept), 0, quality=quality) == ""
    assert kept.rungs == []
