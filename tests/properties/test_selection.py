"""Which trials are picked: properties over made-up rows."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support_bundle import trial_row

from autoopt.ledger import TrialRow
from autoopt.orchestrator import best, cheapest, feasible, front, nearest_miss
from autoopt.orchestrator.selection import loss, provisional, value, within_tolerance
from autoopt.values import Direction, Limit, Measurement, TrialState, broken, parse_objectives

OBJECTIVES = ("quality", "latency_ms", "size_bytes")
LIMITS = (Limit(measure="latency_ms", sense="<=", bound=2.0), Limit(measure="size_bytes", sense="<=", bound=3.0))

directions = st.sampled_from(["maximize", "minimize"])
few = st.sampled_from([0.5, 1.0, 2.0, 3.0, 4.0])  # few values, so that ties are common


@st.composite
def rows(draw: st.DrawFn) -> list[TrialRow]:
    """Trials in any state, with any of the measures."""
    count = draw(st.integers(0, 12))
    return [_row(draw, number) for number in range(count)]


def _row(draw: st.DrawFn, number: int) -> TrialRow:
    state = draw(st.sampled_from(list(TrialState)))
    names = OBJECTIVES if state is TrialState.COMPLETE else draw(st.sets(st.sampled_from(OBJECTIVES)))
    at_work = draw(st.booleans())
    return replace(
        trial_row(number, None),
        state=state,
        measures={n: Measurement(value=draw(few), provisional=at_work and n == "latency_ms") for n in names},
        artifact_key=draw(st.sampled_from(["", "key"])),
    )


def dominates(a: TrialRow, b: TrialRow, direction: Direction) -> bool:
    objectives = parse_objectives(OBJECTIVES, direction)
    pairs = [(loss(a, o), loss(b, o)) for o in objectives]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@given(rows(), directions)
def test_the_front_holds_what_nothing_beats_and_everything_else_is_beaten(
    trials: Sequence[TrialRow], direction: Direction
) -> None:
    objectives = parse_objectives(OBJECTIVES, direction)
    found = front(trials, objectives)
    usable = feasible(trials)
    numbers = {t.number for t in found}
    assert numbers <= {t.number for t in usable}
    for trial in usable:
        beaten = any(dominates(other, trial, direction) for other in usable)
        twins = [t.number for t in usable if all(loss(t, o) == loss(trial, o) for o in objectives)]
        if beaten:
            assert trial.number not in numbers
        else:
            assert numbers & set(twins) == {min(twins)}  # of equal trials the oldest stands for all
    qualities = [loss(t, objectives[0]) for t in found]
    assert qualities == sorted(qualities)


@given(rows(), directions, st.randoms())
def test_the_best_has_the_highest_quality_whatever_the_order_of_the_rows(
    trials: list[TrialRow], direction: Direction, chance: object
) -> None:
    top = best(trials, direction)
    usable = feasible(trials)
    assert (top is None) == (not usable)
    if top is None:
        return
    quality = parse_objectives(OBJECTIVES, direction)[0]
    assert loss(top, quality) == min(loss(t, quality) for t in usable)
    assert top.state is TrialState.COMPLETE
    shuffled = list(trials)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert best(shuffled, direction) == top


@given(rows(), directions)
def test_at_equal_quality_a_provisional_latency_never_wins_and_then_the_faster_and_the_smaller_do(
    trials: Sequence[TrialRow], direction: Direction
) -> None:
    top = best(trials, direction)
    if top is None:
        return
    quality = parse_objectives(OBJECTIVES, direction)[0]
    equal = [t for t in feasible(trials) if loss(t, quality) == loss(top, quality)]
    settled = [t for t in equal if not provisional(t)]
    if settled:
        assert not provisional(top)
        assert value(top, "latency_ms") == min(value(t, "latency_ms") for t in settled)
    as_fast = [t for t in settled if value(t, "latency_ms") == value(top, "latency_ms")]
    if as_fast:
        assert value(top, "size_bytes") == min(value(t, "size_bytes") for t in as_fast)


@given(rows(), directions, st.sampled_from([0.0, 0.01, 0.5]), st.sampled_from(OBJECTIVES[1:]))
def test_the_cheapest_is_within_tolerance_and_none_within_it_is_cheaper(
    trials: Sequence[TrialRow], direction: Direction, tolerance: float, measure: str
) -> None:
    found, top = cheapest(trials, direction, tolerance, measure), best(trials, direction)
    assert (found is None) == (top is None)
    if found is None or top is None:
        return
    near = [
        t
        for t in feasible(trials)
        if within_tolerance(value(t, "quality"), value(top, "quality"), direction, tolerance)
    ]
    assert found in near
    assert top in near
    assert value(found, measure) == min(value(t, measure) for t in near)


@given(st.floats(0.1, 10), st.floats(0.1, 10), directions, st.floats(0, 0.5))
def test_better_is_always_within_tolerance(a: float, b: float, direction: Direction, tolerance: float) -> None:
    better, worse = (max(a, b), min(a, b)) if direction == "maximize" else (min(a, b), max(a, b))
    assert within_tolerance(better, worse, direction, tolerance)
    assert within_tolerance(a, a, direction, 0.0)


@given(rows(), directions)
def test_the_nearest_miss_left_an_artifact_and_none_misses_by_less(
    trials: Sequence[TrialRow], direction: Direction
) -> None:
    found = nearest_miss(trials, LIMITS, direction)
    usable = [t for t in trials if t.state is TrialState.INFEASIBLE and t.artifact_key and "quality" in t.measures]
    assert (found is None) == (not usable)
    if found is None:
        return
    assert found in usable
    measured = [t for t in usable if len(t.measures) == 3]

    def excess(trial: TrialRow) -> float:
        return sum(x.relative_excess(value(trial, x.measure)) for x in broken(LIMITS, trial.measures))

    if len(measured) == len(usable):
        assert excess(found) == min(excess(t) for t in usable)
